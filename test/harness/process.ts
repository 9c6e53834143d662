/** Foreign servers as child processes: started on a free port in a folder of their own, and gone when the test is. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise(resolve => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

export function temporaryFolder(name: string): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), `holdfast-${name}-`))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

export type Running = { child: ChildProcess; port: number; folder: string; stop(): Promise<void> }

const STARTED_MS_MAX = 30_000

/** Starts the program and waits until its port answers. */
export async function start(
  name: string,
  command: (at: { port: number; folder: string }) => { file: string; args: string[]; env?: NodeJS.ProcessEnv },
): Promise<Running> {
  const port = await freePort()
  const folder = temporaryFolder(name)
  const { file, args, env } = command({ port, folder: folder.path })
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: env ?? process.env })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => {
      output = (output + data.toString()).slice(-4_000)
    })
  const gone = new Promise<never>((_, reject) => {
    child.once('error', reject)
    child.once('exit', code => reject(new Error(`${name} ended with ${code}: ${output}`)))
  })
  gone.catch(() => {
    // Whoever waits for it at the time hears of it; later it is the normal end.
  })
  await Promise.race([answers(port), gone])
  return {
    child,
    port,
    folder: folder.path,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const exit = new Promise(resolve => child.once('exit', resolve))
        child.kill('SIGKILL')
        await exit
      }
      folder.remove()
    },
  }
}

async function answers(port: number): Promise<void> {
  for (let waited = 0; waited < STARTED_MS_MAX; waited += 50) {
    const isOpen = await new Promise<boolean>(resolve => {
      const socket = connect(port, '127.0.0.1')
      socket.once('connect', () => {
        socket.destroy()
        resolve(true)
      })
      socket.once('error', () => resolve(false))
    })
    if (isOpen) return
    await sleep(50)
  }
  throw new Error(`nothing answered on port ${port}`)
}
