/** What does one instance notice of another that uses all it may, and of one that offers ten times that? */
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connect, type Holdfast } from '@holdfast/client'
import { nodeFlags } from '../../../scripts/node.mjs'
import { temporaryFolder } from '../../harness/process.ts'
import { startServer } from '../../harness/server.ts'
import { addTenants } from '../../harness/tenants.ts'
import { median, quantile } from '../measure.ts'
import type { Report, Row, Verdict } from '../report.ts'

const noise = fileURLToPath(new URL('../noise.ts', import.meta.url))
/** One block of the standard plan. */
const UNITS = 10
const LIMIT = 1_000
/** What the neighbour asks for in a second, whatever it is answered. */
const offers = { 'at its limit': LIMIT, 'that offers ten times its limit': 10 * LIMIT }
/** Cycles a second of the modest one, spread evenly. */
const MODEST = 200
const FACTOR_MAX = 1.5

type Counts = { asked: number; granted: number; refused: number }
type Door = 'ws' | 'rest'
type Neighbour = { name: string; door: Door; offered: number }
/** What was measured beside a neighbour. */
type Beside = { times: number[][]; counts: Counts[] }

const neighbours: Neighbour[] = Object.entries(offers).flatMap(([offer, offered]) =>
  (['ws', 'rest'] as const).map(door => ({
    name: `beside one ${offer}, on ${door === 'ws' ? 'a WebSocket' : 'REST'}`,
    door,
    offered,
  })),
)

export async function neighbour({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const folder = temporaryFolder('bench')
  const server = await startServer({ data: folder.path })
  const plan = { plan: 'standard', capacity_units: UNITS }
  const keys = await addTenants(server.url, [
    { name: 'modest', ...plan },
    { name: 'noisy', ...plan },
  ])
  const client = connect({ url: server.url, apiKey: keys.get('modest') ?? '' })
  const seconds = isQuick ? 3 : 10
  const key = keys.get('noisy') ?? ''
  const alone: number[][] = []
  const beside = new Map(neighbours.map(neighbour => [neighbour, { times: [], counts: [] } as Beside]))
  await measured(client, 1)
  for (let round = 0; round < (isQuick ? 2 : 5); round++) {
    alone.push(await measured(client, seconds))
    for (const [neighbour, { times, counts }] of beside) {
      const { stopped, stop } = startNoise(server.url, { ...neighbour, key }, seconds + 2)
      await sleep(1_000)
      times.push(await measured(client, seconds))
      counts.push(await stopped)
      stop()
    }
  }
  await client.close()
  await server.stop()
  folder.remove()
  return reportOf(alone, beside)
}

/** Milliseconds from the moment each cycle was due to the end of its acquire: a late start counts too. */
async function measured(client: Holdfast, seconds: number): Promise<number[]> {
  const times: number[] = []
  const began = performance.now()
  const one = async (index: number, dueMs: number) => {
    const lock = await client.acquire(`modest/${index % 500}`)
    times.push(performance.now() - began - dueMs)
    await lock.release()
  }
  const all: Promise<void>[] = []
  for (let index = 0; index < seconds * MODEST; index++) {
    const dueMs = (index / MODEST) * 1_000
    const aheadMs = dueMs - (performance.now() - began)
    if (aheadMs > 0) await sleep(aheadMs)
    all.push(one(index, dueMs))
  }
  await Promise.all(all)
  return times
}

function startNoise(url: string, { door, offered, key }: Neighbour & { key: string }, seconds: number) {
  const args = [...nodeFlags, noise, url, key, String(offered), door, String(seconds)]
  // It stands for another machine: what it computes itself should take as little as possible from the others.
  const child = spawn('nice', ['-n', '19', process.execPath, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', data => {
    output += String(data)
  })
  const stopped = new Promise<Counts>((resolve, reject) =>
    child.once('exit', code =>
      code === 0 ? resolve(JSON.parse(output) as Counts) : reject(new Error(`the noise ended with ${code}: ${output}`)),
    ),
  )
  return { stopped, stop: () => child.kill() }
}

function reportOf(alone: number[][], beside: ReadonlyMap<Neighbour, Beside>): Report {
  const rows: Row[] = []
  const add = (name: string, rounds: number[][]) => {
    for (const [share, label] of [
      [0.5, 'p50'],
      [0.99, 'p99'],
    ] as const) {
      const values = rounds.map(times => quantile(times, share))
      const spread: [number, number] = [Math.min(...values), Math.max(...values)]
      rows.push({ name: `${name}: ${label}`, value: median(values), unit: 'ms', spread })
    }
  }
  add('alone', alone)
  const verdicts: Verdict[] = []
  const own = median(alone.map(times => quantile(times, 0.99)))
  for (const [{ name }, { times, counts }] of beside) {
    add(name, times)
    const sum = (field: keyof Counts) => counts.reduce((total, count) => total + count[field], 0)
    const note = `asked ${sum('asked')}, granted ${sum('granted')}, refused ${sum('refused')}; as many as its client could send`
    rows.push({ name: `${name}: refused`, value: (100 * sum('refused')) / sum('asked'), unit: '%', note })
    const value = median(times.map(one => quantile(one, 0.99))) / own
    verdicts.push({
      claim: `p99 ${name}, times that alone`,
      value,
      target: `≤ ${FACTOR_MAX}`,
      isMet: value <= FACTOR_MAX,
    })
  }
  return {
    question: `A modest instance (${MODEST} cycles/s) and a neighbour that may acquire ${LIMIT} times a second`,
    about:
      'One server on LMDB, both on the standard plan; the neighbour is a process of its own on the same two cores, of the lowest priority.',
    rows,
    verdicts,
  }
}
