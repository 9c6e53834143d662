/** How long until a thousand that watch one lock have all been told of a change? */
import { setTimeout as sleep } from 'node:timers/promises'
import { etcdWatches, holdfastAlone, holdfastServers, type Watching, zookeeperWatches } from '../crowds/watching.ts'
import { median, quantile } from '../measure.ts'
import { progress } from '../progress.ts'
import { type Report, type Row, spreadOf } from '../report.ts'

const WATCHERS = 1_000
const WATCHERS_QUICK = 100
const CHANGES = 30
const CHANGES_QUICK = 5
/** Watchers that are opened at a time. */
const OPENING = 50
const TOLD_MS_MAX = 30_000
const LOOK_MS = 100
/** Gathering a thousand, or telling them. */
const ANSWER_MS_MAX = 90_000
/** Between two changes: what the last one has left to do is not the next one's. */
const REST_MS = 50

const contenders: Record<string, () => Promise<Watching | string>> = {
  'Holdfast, embedded': holdfastAlone,
  'Holdfast, three servers on three etcd members': holdfastServers,
  'etcd watches, three members': etcdWatches,
  'ZooKeeper watches, one server': zookeeperWatches,
}

type Told = { p50Ms: number; p99Ms: number; allMs: number }

export async function watchers({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const count = isQuick ? WATCHERS_QUICK : WATCHERS
  const notRun = ['Redlock: nobody can watch a lock of it', 'PostgreSQL: nobody can watch an advisory lock']
  const rows: Row[] = []
  const opened: { name: string; crowd: Crowd; rounds: Told[] }[] = []
  for (const [name, open] of Object.entries(contenders)) {
    progress(`watchers: ${name}, ${count} of them`)
    const watching = await open()
    if (typeof watching === 'string') notRun.push(watching)
    else {
      const crowd = await inTime(gathered(watching, count)).catch((error: unknown) => {
        notRun.push(`${name}: failed: ${String(error)}`)
        return watching.close()
      })
      if (crowd) opened.push({ name, crowd, rounds: [] })
    }
  }
  for (let change = 0; change < (isQuick ? CHANGES_QUICK : CHANGES); change++)
    for (const { name, crowd, rounds } of [...opened]) {
      progress(`watchers: change ${change + 1}, ${name}`)
      const told = await inTime(crowd.change()).catch((error: unknown) => {
        notRun.push(`${name}: failed: ${String(error)}`)
        opened.splice(0, opened.length, ...opened.filter(one => one.crowd !== crowd))
        return crowd.watching.close()
      })
      if (told) rounds.push(told)
    }
  for (const { name, crowd, rounds } of opened) {
    rows.push(...rowsOf(name, crowd.watching.note, rounds))
    await crowd.watching.close()
  }
  return {
    question: `${count.toLocaleString('en-US')} watchers of one lock`,
    about:
      'From before a change is sent until a watcher has been told; each has a connection of its own, all in one process. Medians over the changes, which are made in turns.',
    rows,
    verdicts: [],
    notRun,
  }
}

/** Whatever a library does: one that never answers holds nobody up. */
async function inTime<Result>(promise: Promise<Result>): Promise<Result> {
  const limit = new AbortController()
  const tooLate = sleep(ANSWER_MS_MAX, null, { signal: limit.signal }).then(() => {
    throw new Error(`no answer within ${ANSWER_MS_MAX / 1_000} s`)
  })
  tooLate.catch(() => undefined)
  try {
    return await Promise.race([promise, tooLate])
  } finally {
    limit.abort()
  }
}

type Crowd = { watching: Watching; change(): Promise<Told> }

async function gathered(watching: Watching, count: number): Promise<Crowd> {
  const toldAt = new Float64Array(count)
  let left = 0
  let isOver: () => void = () => undefined
  const told = (index: number) => {
    if (toldAt[index] !== 0) return
    toldAt[index] = performance.now()
    left--
    if (left === 0) isOver()
  }
  for (let start = 0; start < count; start += OPENING)
    await Promise.all(
      Array.from({ length: Math.min(OPENING, count - start) }, (_, index) => watching.watch(() => told(start + index))),
    )
  const change = async (waitMs: number): Promise<Float64Array | null> => {
    toldAt.fill(0)
    left = count
    const all = new Promise<void>(resolve => {
      isOver = resolve
    })
    const beganAt = performance.now()
    await watching.change()
    const limit = new AbortController()
    await Promise.race([all, sleep(waitMs, null, { signal: limit.signal }).catch(() => undefined)])
    limit.abort()
    const isWhole = left === 0
    await watching.settle()
    await sleep(REST_MS)
    return isWhole ? toldAt.map(at => at - beganAt) : null
  }
  // A watch stands some time after it was asked for: from when all have been told of one, they all do.
  for (let waitedMs = 0; (await change(LOOK_MS)) === null; waitedMs += LOOK_MS)
    if (waitedMs > TOLD_MS_MAX) throw new Error(`${left} of ${count} watchers hear nothing`)
  return {
    watching,
    change: async () => {
      const times = await change(TOLD_MS_MAX)
      if (!times) throw new Error(`${left} of ${count} watchers were not told`)
      return { p50Ms: quantile([...times], 0.5), p99Ms: quantile([...times], 0.99), allMs: Math.max(...times) }
    },
  }
}

function rowsOf(name: string, note: string, rounds: readonly Told[]): Row[] {
  const row = (what: string, key: keyof Told, more = ''): Row => {
    const values = rounds.map(round => round[key])
    return { name: `${name}: ${what}`, value: median(values), unit: 'ms', spread: spreadOf(values), note: more }
  }
  return [row('p50', 'p50Ms', note), row('p99', 'p99Ms'), row('all told', 'allMs')]
}
