/** How long does a service need to come back to a million held locks, and how much memory do they take? */
import { etcdKeys, holdfastAlone, holdfastServers, type Returning, redisKeys } from '../crowds/returning.ts'
import { memoryMiB } from '../measure.ts'
import { progress } from '../progress.ts'
import type { Report, Row } from '../report.ts'

const LOCKS = 1_000_000
const LOCKS_QUICK = 100_000
const SECONDS_MAX = 10
const GIB_MAX = 1

const EMBEDDED = 'Holdfast, embedded'
const contenders: Record<string, (count: number) => Promise<Returning | string>> = {
  [EMBEDDED]: holdfastAlone,
  'Holdfast, three servers on three etcd members': holdfastServers,
  'etcd keys, three members': etcdKeys,
  'Redis keys': redisKeys,
}

type Returned = { seconds: number; gib: number; rows: Row[] }

export async function recovery({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const locks = isQuick ? LOCKS_QUICK : LOCKS
  const rows: Row[] = []
  const notRun = [
    'ZooKeeper: a million of its nodes belong to sessions that are connections of their own',
    'PostgreSQL: its advisory locks are gone with the server',
  ]
  let own: Returned | null = null
  for (const [name, open] of Object.entries(contenders)) {
    progress(`recovery: ${name}, ${locks} locks`)
    const returning = await open(locks)
    if (typeof returning === 'string') {
      notRun.push(returning)
      continue
    }
    const back = await returned(name, returning)
    await returning.close()
    rows.push(...back.rows)
    if (name === EMBEDDED) own = back
  }
  const { seconds, gib } = own ?? { seconds: Number.NaN, gib: Number.NaN }
  return {
    question: `Recovery of ${locks.toLocaleString('en-US')} held locks`,
    about:
      'All its processes are killed (kill -9) and started again: from then until a lock that was held is shown to be held. Memory is resident, of all of them.',
    rows,
    verdicts: [
      {
        claim: 'seconds to recover, embedded',
        value: seconds,
        target: `< ${SECONDS_MAX}`,
        isMet: isQuick ? null : seconds < SECONDS_MAX,
      },
      { claim: 'GiB held, embedded', value: gib, target: `< ${GIB_MAX}`, isMet: isQuick ? null : gib < GIB_MAX },
    ],
    notRun,
  }
}

async function returned(name: string, returning: Returning): Promise<Returned> {
  const loaded = memoryOf(returning)
  await returning.kill()
  const began = performance.now()
  await returning.start()
  const seconds = (performance.now() - began) / 1_000
  const after = memoryOf(returning)
  return {
    seconds,
    gib: after.now / 1_024,
    rows: [
      { name: `${name}: recovery`, value: seconds, unit: 's', note: returning.note },
      { name: `${name}: memory after it`, value: after.now, unit: 'MiB', note: `peak ${Math.round(after.peak)} MiB` },
      { name: `${name}: memory before it`, value: loaded.now, unit: 'MiB' },
    ],
  }
}

function memoryOf(returning: Returning): { now: number; peak: number } {
  const all = returning.processes().map(memoryMiB)
  const sum = (of: 'now' | 'peak') => all.reduce((total, one) => total + (one?.[of] ?? Number.NaN), 0)
  return { now: sum('now'), peak: sum('peak') }
}
