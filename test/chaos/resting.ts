/**
 * I17: when everybody has left, a server has as little as before anybody came: nothing of anybody's, no connection, no watch, as many descriptors, and
 * after a collection of garbage as much memory, within bounds for what it is meant to remember (the latest events, how grants ended).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Write } from '../../packages/server/src/engine/engine.ts'
import { Violation } from '../checker/judge.ts'
import type { Server } from '../harness/server.ts'
import { linesOf } from './client/history.ts'
import { type Counted, countedAt } from './counted.ts'

/** What a server says of itself (`/metrics`), and what its process has (`server/tap.ts`, when told to count). */
export type Counts = Record<(typeof exact)[number] | (typeof bounded)[number], number>

export type Bounds = Readonly<Record<(typeof bounded)[number], number>>

const exact = ['grants', 'waiters', 'sessions', 'watch_streams'] as const
const bounded = ['locks', 'connections', 'descriptors', 'heapBytes', 'outsideBytes'] as const
/**
 * By how much each may be more than at first. Connections and descriptors: other servers and members of the store
 * that were not yet connected. Memory: events, endings, caches, code that was compiled meanwhile.
 */
export const moreMax: Bounds = {
  locks: 0,
  connections: 4,
  descriptors: 16,
  heapBytes: 32 * 1024 * 1024,
  outsideBytes: 32 * 1024 * 1024,
}
const SIGNAL = 'SIGUSR2'
const COUNTED_MS_MAX = 15_000
const LOOK_MS = 50
/** Besides the longest session, which may not have been able to say goodbye, what it leaves behind. */
const RESTED_MS_MAX = 20_000

/** Has the server collect its garbage, and tell. `path`: where its tap writes. null: it has ended. @throws when it does not tell. */
async function countsAt(server: Server, path: string): Promise<Counts | null> {
  const before = countedIn(path).length
  server.child.kill(SIGNAL)
  const untilMs = performance.now() + COUNTED_MS_MAX
  while (countedIn(path).length === before) {
    if (server.child.exitCode !== null || server.child.signalCode !== null) return null
    if (performance.now() > untilMs) throw new Error(`${server.url} does not count what it has: ${server.output()}`)
    await sleep(LOOK_MS)
  }
  const own = countedIn(path).at(-1)!
  const text = await fetch(`${server.url}/metrics`).then(response => response.text())
  return { ...sumsOf(text), ...own }
}

/** What is more than it may be, in words. */
export function excessOf(before: readonly Counts[], after: Counts, more: Bounds): string[] {
  const most = (name: keyof Counts) => Math.max(...before.map(counts => counts[name]))
  return [
    ...exact.filter(name => after[name] > most(name)),
    ...bounded.filter(name => after[name] > most(name) + more[name]),
  ].map(name => `${name} ${after[name]}, and ${most(name)} at first`)
}

export class Resting {
  readonly #more: Bounds
  readonly #restedMsMax: number
  readonly #atFirst: Counts[] = []
  readonly #members = new Set<string>()

  /** `locksMax`: so many stay, because they are configured or keep a value. `ttlMsMax`: the longest of a session. */
  constructor({ locksMax, ttlMsMax }: { locksMax: number; ttlMsMax: number }) {
    this.#restedMsMax = ttlMsMax + RESTED_MS_MAX
    this.#more = { ...moreMax, locks: locksMax }
  }

  /** The largest of all servers, at first and at rest. */
  readonly measured: Record<string, number> = {}

  /** Nobody has come yet. */
  async began(server: Server, path: string): Promise<void> {
    const counts = await countsAt(server, path)
    if (counts) this.#atFirst.push(counts)
    this.#measure('at first', counts)
  }

  /** Waits until the server, if it runs, has no more than it may. @throws Violation when it does not come to that. */
  async over(server: Server, path: string): Promise<void> {
    const untilMs = performance.now() + this.#restedMsMax
    for (;;) {
      const counts = await countsAt(server, path)
      if (!counts) return
      const excess = excessOf(this.#atFirst, counts, this.#more)
      if (excess.length === 0) return this.#measure('at rest', counts)
      if (performance.now() > untilMs)
        throw new Violation(`I17: when everybody has left ${server.url} has ${excess.join('; ')}`)
      await sleep(LOOK_MS * 10)
    }
  }

  /** Sees every commit: who has a member record. */
  passed(writes: readonly Write[]): void {
    for (const write of writes) {
      if (!('key' in write) || !/\/members\/[^/]+$/.test(write.key)) continue
      if ('value' in write) this.#members.add(write.key)
      else this.#members.delete(write.key)
    }
  }

  /** @throws Violation when there are more member records than servers that run. */
  present(servers: readonly Server[]): void {
    const running = servers.filter(({ child }) => child.exitCode === null && child.signalCode === null).length
    if (this.#members.size > running)
      throw new Violation(`I17: ${running} servers run, and the store has ${[...this.#members].join(', ')}`)
  }

  #measure(when: string, counts: Counts | null): void {
    for (const [name, value] of Object.entries(counts ?? {}))
      this.measured[`${when} ${name}`] = Math.max(value, this.measured[`${when} ${name}`] ?? 0)
  }
}

function countedIn(path: string): Counted[] {
  return linesOf<Counted>(countedAt(path))
}

function sumsOf(text: string) {
  const sum = (name: string) =>
    text
      .split('\n')
      .filter(line => line.startsWith(`holdfast_${name}{`) || line.startsWith(`holdfast_${name} `))
      .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
  return {
    grants: sum('grants'),
    waiters: sum('waiters'),
    sessions: sum('sessions'),
    watch_streams: sum('watch_streams'),
    locks: sum('locks'),
    connections: sum('connections'),
  }
}
