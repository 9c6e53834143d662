/** The real server as a child process, on a free port, with a data folder that may outlive it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { nodeFlags } from '../../scripts/node.mjs'
import { freePort } from './process.ts'

const main = fileURLToPath(new URL('../../packages/server/src/main.ts', import.meta.url))
const READY_MS_MAX = 60_000
/** Every server of the harness has this key, so that tests need not read files. */
export const rootKey = 'hf_test_0123456789abcdef0123456789abcdef'

export type ServerOptions = {
  data: string
  port?: number
  flags?: string[]
  env?: NodeJS.ProcessEnv
  /** Where it runs; by default where this process does. */
  cwd?: string
  /** More open files than this process may have, for crowds. */
  filesMax?: number
}

export type Server = {
  url: string
  port: number
  child: ChildProcess
  /** All that it has written to its two outputs, the last 64 KiB. */
  output(): string
  /** Resolves with the exit code or the name of the signal. */
  exited: Promise<number | string>
  /** kill -9. */
  kill(): Promise<void>
  /** SIGTERM, and waits until it is gone. */
  stop(): Promise<number | string>
}

export async function startServer(options: ServerOptions): Promise<Server> {
  const server = await spawnServer(options)
  const ended = server.exited.then(code => {
    throw new Error(`the server ended with ${code}: ${server.output()}`)
  })
  await Promise.race([ready(server), ended])
  ended.catch(() => {
    // From here on its end is the test's business.
  })
  return server
}

/** Starts the process without waiting for it to be ready. */
export async function spawnServer(options: ServerOptions): Promise<Server> {
  const port = options.port ?? (await freePort())
  const args = [...nodeFlags, main, '--listen', `127.0.0.1:${port}`, '--data', options.data, ...(options.flags ?? [])]
  const raise = options.filesMax ? ['sh', '-c', `ulimit -n ${options.filesMax}; exec "$0" "$@"`] : []
  const [file = process.execPath, ...rest] = [...raise, process.execPath, ...args]
  const child = spawn(file, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.cwd ? { cwd: options.cwd } : {}),
    env: {
      ...process.env,
      HOLDFAST_LOG_LEVEL: 'warn',
      HOLDFAST_ROOT_KEY: rootKey,
      NODE_TEST_CONTEXT: undefined,
      ...options.env,
    },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data: Buffer) => {
      output = (output + data.toString()).slice(-65_536)
    })
  }
  const exited = new Promise<number | string>(resolve =>
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'gone')),
  )
  // A test file that ends in the middle leaves nobody behind.
  const onExit = () => child.kill('SIGKILL')
  process.once('exit', onExit)
  child.once('exit', () => process.removeListener('exit', onExit))
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    child,
    output: () => output,
    exited,
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
    async stop() {
      child.kill('SIGTERM')
      return exited
    },
  }
}

async function ready({ url, child }: Server): Promise<void> {
  for (let waited = 0; waited < READY_MS_MAX && child.exitCode === null; waited += 10) {
    const response = await fetch(`${url}/readyz`).catch(() => null)
    if (response?.ok) return
    await sleep(10)
  }
  throw new Error(`${url} was not ready in ${READY_MS_MAX} ms`)
}
