/**
 * One system under pauses: clients on one lock, the holder of which is stopped for longer than its time to live, again and again; and once its server is
 * killed. What the lock protects lies in a process of its own, which compares tokens where it is given some.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { nodeFlags } from '../../scripts/node.mjs'
import { temporaryFolder } from '../harness/process.ts'
import type { Said } from './client.ts'
import { type Attempt, type Counts, count } from './judged.ts'
import type { Started, System } from './systems.ts'

const CLIENTS = 3
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))
/** For a client to load, connect and be given the lock. */
const BEGUN_MS_MAX = 30_000
const LOOK_MS = 5
/** After a stop, for whoever was stopped to do what it was about to. */
const SETTLE_MS = 700

export type Run = Counts & { system: System; stops: number; seconds: number }

/** Text: why it was not run. */
export async function run(system: System, { seconds }: { seconds: number }): Promise<Run | string> {
  const started = await system.start()
  if (typeof started === 'string') return started
  const folder = temporaryFolder('known-bad-record')
  const record = join(folder.path, 'resource.jsonl')
  const resource = spawn(process.execPath, [...nodeFlags, here('../chaos/resource/process.ts'), record], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const clients: Client[] = []
  try {
    const [port] = (await once(createInterface({ input: resource.stdout }), 'line')) as [string] // it says its port
    for (let place = 0; place < CLIENTS; place++) clients.push(new Client(system, { started, port, name: `c${place}` }))
    const beganMs = performance.now()
    const stops = await strike(system, started, clients, beganMs + seconds * 1_000)
    for (const client of clients) client.end()
    const said = clients.flatMap(client => client.said).sort((one, other) => one.at - other.at)
    const counts = count(said, attemptsIn(readFileSync(record, 'utf8')))
    return { system, ...counts, stops, seconds: Math.round((performance.now() - beganMs) / 1_000) }
  } finally {
    for (const client of clients) client.end()
    resource.stdin.end()
    resource.kill('SIGKILL')
    await started.stop()
    folder.remove()
  }
}

/** Returns how often a holder was stopped. The server is killed halfway. */
async function strike(system: System, started: Started, clients: Client[], untilMs: number): Promise<number> {
  const fromMs = performance.now()
  let stops = 0
  let isServerLost = false
  // At least once, however short the time.
  while (stops === 0 || performance.now() < untilMs) {
    const holder = await holderOf(clients)
    holder.child.kill('SIGSTOP')
    stops++
    await sleep(system.ttlMs * 2.5)
    holder.child.kill('SIGCONT')
    await sleep(SETTLE_MS)
    if (isServerLost || performance.now() - fromMs < (untilMs - fromMs) / 2) continue
    isServerLost = true
    await holderOf(clients)
    await started.loseServer()
    await sleep(system.ttlMs)
  }
  return stops
}

/** One that has just been given the lock. */
async function holderOf(clients: Client[]): Promise<Client> {
  for (let waitedMs = 0; waitedMs < BEGUN_MS_MAX; waitedMs += LOOK_MS) {
    const holder = clients.find(({ isHolding }) => isHolding)
    if (holder) return holder
    await sleep(LOOK_MS)
  }
  throw new Error(`nobody holds it: ${clients.map(({ said }) => JSON.stringify(said.at(-1) ?? null)).join(' ')}`)
}

class Client {
  readonly child: ChildProcess
  readonly said: Said[] = []

  constructor({ name: system }: System, { started, port, name }: { started: Started; port: string; name: string }) {
    this.child = fork(here('./client.ts'), [system, started.url, port, name], {
      execArgv: nodeFlags,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    })
    this.child.on('message', message => this.said.push(message as Said)) // what `client.ts` sends
  }

  /** It is thinking, between a check and a write. */
  get isHolding(): boolean {
    return this.said.at(-1)?.say === 'checked'
  }

  end(): void {
    this.child.kill('SIGKILL')
  }
}

function attemptsIn(record: string): Attempt[] {
  return record
    .split('\n')
    .filter(line => line !== '')
    .map(line => {
      const { how, token, ok } = JSON.parse(line) as { how: string; token: number; ok: boolean } // as the resource writes it
      const [client = '', grant = ''] = how.split('/')
      return { client, grant: Number(grant), token, isAccepted: ok }
    })
}
