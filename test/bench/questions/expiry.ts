/** How late does one hear of ten thousand sessions whose time has come at once? */
import { setTimeout as sleep } from 'node:timers/promises'
import { CALLERS, type Expiring, etcdLeases, holdfastAlone, holdfastServers, redisKeys } from '../crowds/expiring.ts'
import { median, quantile } from '../measure.ts'
import { progress } from '../progress.ts'
import { type Report, type Row, spreadOf } from '../report.ts'

const SESSIONS = 10_000
const SESSIONS_QUICK = 1_000
/** From the first that begins to when all are due: as long as the slowest needs to begin them all, about. */
const DUE_MS = 10_000
const DUE_MS_QUICK = 4_000
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
      rounds.push(await ended(expiring, count, isQuick ? DUE_MS_QUICK : DUE_MS))
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

async function ended(expiring: Expiring, count: number, dueMs: number): Promise<Late> {
  const dueAt = new Float64Array(count)
  const late: number[] = []
  const { promise: all, resolve, reject } = Promise.withResolvers<void>()
  let lastToldAt = 0
  await expiring.onEnded(index => {
    lastToldAt = performance.now()
    late.push(lastToldAt - (dueAt[index] ?? 0))
    if (late.length === count) resolve()
  })
  const at = performance.now() + dueMs
  let next = 0
  await Promise.all(
    Array.from({ length: CALLERS }, async (_, caller) => {
      for (let index = next++; index < count; index = next++) {
        dueAt[index] = await expiring.begin(index, Math.max(TTL_MS_MIN, at - performance.now()), caller)
      }
    }),
  )
  const lastDueAt = dueAt.reduce((last, one) => Math.max(last, one), 0)
  const limit = new AbortController()
  const tooLate = sleep(lastDueAt - performance.now() + LATE_MS_MAX, null, { signal: limit.signal }).then(
    () => reject(new Error(`${late.length} of ${count} were told of`)),
    () => undefined,
  )
  await all
  limit.abort()
  await tooLate
  return {
    p50Ms: quantile(late, 0.5),
    p99Ms: quantile(late, 0.99),
    lastMs: Math.max(...late),
    restMs: lastToldAt - lastDueAt,
  }
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
