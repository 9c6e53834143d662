/** Foreign servers as child processes: started on a free port in a folder of their own, and gone when the test is. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Below those that systems hand out by themselves (Linux from 32,768 on): one of theirs may be somebody's, of a connection that goes out too, before
 * the program that it is for listens on it, or while that is started again. `fetch` refuses none of them (the last that it does is 10,080).
 */
const PORTS = { from: 10_100, to: 32_000 }

/** Each process has its own of them for a while: one that looks whether a port is free takes it for that moment from whoever has been given it. */
const PORTS_OF_PROCESS = 100
let portsGiven = randomInt(PORTS_OF_PROCESS)

/** Nobody listens on it now, and another process is hardly given the same. */
export async function freePort(): Promise<number> {
  const places = Math.floor((PORTS.to - PORTS.from) / PORTS_OF_PROCESS)
  const from = PORTS.from + (process.pid % places) * PORTS_OF_PROCESS
  for (let tries = 0; tries < PORTS_OF_PROCESS; tries++) {
    const port = from + (portsGiven++ % PORTS_OF_PROCESS)
    const server = createServer()
    const isFree = await new Promise<boolean>(resolve => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!isFree) continue
    await new Promise(resolve => server.close(resolve))
    return port
  }
  throw new Error(`all ports from ${from} to ${from + PORTS_OF_PROCESS - 1} are taken`)
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
