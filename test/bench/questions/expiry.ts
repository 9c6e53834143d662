/** How late does one hear of ten thousand sessions whose time has come at once? */
import { setTimeout as sleep } from 'node:timers/promises'
import { CALLERS, type Expiring, etcdLeases, holdfastAlone, holdfastServers, redisKeys } from '../crowds/expiring.ts'
import { median, quantile } from '../measure.ts'
import { progress } from '../progress.ts'
import { type Report, type Row, spreadOf } from '../report.ts'

const SESSIONS = 10_000
const SESSIONS_QUICK = 1_000
/** That many are begun first and live on, once to warm up and once to see how long it takes: the others should all have begun when they are due. */
const FIRST = 500
const FIRST_LIVE_MS = 10 * 60_000
/** What is allowed for above what that says: a machine has slower moments. */
const SLACK = 1.5
const SLACK_MS = 1_000
/** Nobody waits longer for the rest: what begins late is due later than the others, and is counted from then. */
const DUE_MS_MAX = 15_000
/** Shorter than this no one is asked to live, however long the beginning took. */
const TTL_MS_MIN = 1_000
const LATE_MS_MAX = 120_000

const contenders: Record<string, () => Promise<Expiring | string>> = {
  'Holdfast, embedded': holdfastAlone,
  'Holdfast, three servers on three etcd members': holdfastServers,
  'etcd leases, three members': etcdLeases,
  'Redis keys': redisKeys,
}

type Late = { p50Ms: number; p99Ms: number; lastMs: number; restMs: number }

export async function expiry({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const count = isQuick ? SESSIONS_QUICK : SESSIONS
  const notRun = [
    'ZooKeeper: a session there is a connection of its own; 10,000 of its clients are not opened here',
    'PostgreSQL: a lock there has no time to live',
  ]
  const rows: Row[] = []
  for (const [name, open] of Object.entries(contenders)) {
    const rounds: Late[] = []
    let note = ''
    for (let round = 1; round <= (isQuick ? 1 : 3); round++) {
      progress(`expiry: ${name}, round ${round}`)
      const expiring = await open()
      if (typeof expiring === 'string') {
        notRun.push(expiring)
        break
      }
      note = expiring.note
      rounds.push(await ended(expiring, count))
      await expiring.close()
    }
    if (rounds.length > 0) rows.push(...rowsOf(name, note, rounds))
  }
  return {
    question: `${count.toLocaleString('en-US')} sessions whose time comes at once`,
    about:
      'Nobody renews them. From when each is due (the last request that let it live on was sent, and its time to live) until somebody who watches has been told; and from when the last is due until the last is told. Each round on servers of its own.',
    rows,
    verdicts: [],
    notRun,
  }
}

async function ended(expiring: Expiring, count: number): Promise<Late> {
  const toldAt = new Float64Array(count)
  let left = count
  const { promise: all, resolve, reject } = Promise.withResolvers<void>()
  await expiring.onEnded(index => {
    if (index >= count || toldAt[index] !== 0) return
    toldAt[index] = performance.now()
    left--
    if (left === 0) resolve()
  })
  const longAfter = performance.now() + FIRST_LIVE_MS
  await begun(expiring, { from: count, count: FIRST, until: longAfter })
  const beganAt = performance.now()
  await begun(expiring, { from: count + FIRST, count: FIRST, until: longAfter })
  const wantedMs = ((performance.now() - beganAt) / FIRST) * count * SLACK + SLACK_MS
  const dueAt = await begun(expiring, { from: 0, count, until: performance.now() + Math.min(wantedMs, DUE_MS_MAX) })
  const lastDueAt = Math.max(...dueAt)
  const limit = new AbortController()
  const tooLate = sleep(lastDueAt - performance.now() + LATE_MS_MAX, null, { signal: limit.signal }).then(
    () => reject(new Error(`${left} of ${count} were never told of`)),
    () => undefined,
  )
  await all
  limit.abort()
  await tooLate
  const late = dueAt.map((due, index) => (toldAt[index] ?? Number.NaN) - due)
  return {
    p50Ms: quantile(late, 0.5),
    p99Ms: quantile(late, 0.99),
    lastMs: Math.max(...late),
    restMs: Math.max(...toldAt) - lastDueAt,
  }
}

/** When each is due. */
async function begun(expiring: Expiring, { from, count, until }: { from: number; count: number; until: number }) {
  const dueAt: number[] = new Array(count).fill(0)
  let next = 0
  await Promise.all(
    Array.from({ length: CALLERS }, async (_, caller) => {
      for (let index = next++; index < count; index = next++)
        dueAt[index] = await expiring.begin(from + index, Math.max(TTL_MS_MIN, until - performance.now()), caller)
    }),
  )
  return dueAt
}

function rowsOf(name: string, note: string, rounds: readonly Late[]): Row[] {
  const row = (what: string, key: keyof Late, more = ''): Row => {
    const values = rounds.map(round => round[key])
    return { name: `${name}: ${what}`, value: median(values), unit: 'ms', spread: spreadOf(values), note: more }
  }
  return [
    row('late, p50', 'p50Ms', note),
    row('late, p99', 'p99Ms'),
    row('late, the latest', 'lastMs'),
    row('the last due → the last told', 'restMs'),
  ]
}
