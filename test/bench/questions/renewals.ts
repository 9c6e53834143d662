/** What do 100,000 live sessions cost the servers, each renewing every five seconds? */
import { spawnSync } from 'node:child_process'
import {
  etcdLeases,
  holdfastAlone,
  holdfastServers,
  type Renewals,
  type Renewing,
  redlockKeys,
  SPARE_FILES,
} from '../crowds/renewing.ts'
import { cpuSeconds, proportionalMiB } from '../measure.ts'
import { progress } from '../progress.ts'
import type { Report, Row } from '../report.ts'

const SESSIONS = 100_000
const SESSIONS_QUICK = 5_000
const EVERY_MS = 5_000
/** Of a server on its own. */
const CORES_MAX = 0.5

/** Each session of these has a socket of its own. */
const ours: Record<string, (renewals: Renewals) => Promise<Renewing>> = {
  'Holdfast, embedded': holdfastAlone,
  'Holdfast, three servers on three etcd members': holdfastServers,
}
const others: Record<string, (renewals: Renewals) => Promise<Renewing | string>> = {
  'etcd leases, three members': etcdLeases,
  'Redlock (npm), one Redis': redlockKeys,
}

/** As many sockets as the machine lets one process have, raised as far as it can be. */
function socketsMax(wanted: number): number {
  const raised = spawnSync('sh', ['-c', `ulimit -n ${wanted + SPARE_FILES} 2>/dev/null; ulimit -n`], {
    encoding: 'utf8',
  })
  return Math.min(wanted, Number(raised.stdout.trim().split('\n').at(-1)) - SPARE_FILES)
}

export async function renewals({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const count = isQuick ? SESSIONS_QUICK : SESSIONS
  const everyMs = (EVERY_MS * count) / SESSIONS
  const sockets = socketsMax(count)
  const seconds = isQuick ? 5 : 30
  const all: Renewals = { count, everyMs, seconds }
  // With fewer sockets each renews more often, so that the rate is the same.
  const socketed: Renewals = { count: sockets, everyMs: (everyMs * sockets) / count, seconds }
  const rows: Row[] = []
  const notRun = [
    'ZooKeeper: a session there is a connection of its own, whose pings are the renewals; so many of its clients are not opened here',
    'PostgreSQL: a lock there has no time to live',
  ]
  let cores = Number.NaN
  for (const [name, open] of Object.entries({ ...ours, ...others })) {
    progress(`renewals: ${name}`)
    const renewing = await open(name in ours ? socketed : all)
    if (typeof renewing === 'string') {
      notRun.push(renewing)
      continue
    }
    const before = sumOf(renewing, cpuSeconds)
    const began = performance.now()
    const { sent, answered } = await renewing.over
    const share = (sumOf(renewing, cpuSeconds) - before) / ((performance.now() - began) / 1_000)
    if (Number.isNaN(cores)) cores = share
    rows.push(
      { name: `${name}: servers' CPU`, value: share, unit: 'cores', note: renewing.note },
      {
        name: `${name}: renewals answered`,
        value: answered / seconds,
        unit: '1/s',
        note: `of ${Math.round(sent / seconds)} sent`,
      },
      { name: `${name}: servers' memory`, value: sumOf(renewing, proportionalMiB), unit: 'MiB' },
    )
    await renewing.close()
  }
  const isWhole = sockets === SESSIONS
  return {
    question: 'Renewals of 100,000 sessions every 5 s',
    about:
      `${Math.round((count / everyMs) * 1_000).toLocaleString('en-US')} renewals/s. Of Holdfast ${sockets.toLocaleString('en-US')} sockets with a session each, renewing every ${Math.round(socketed.everyMs).toLocaleString('en-US')} ms; ` +
      `of the others ${count.toLocaleString('en-US')} leases or keys on one connection, by a client in the process that measures. CPU and memory are of all processes of the servers.`,
    rows,
    verdicts: [
      {
        claim: 'cores, embedded',
        value: cores,
        target: `< ${CORES_MAX}`,
        isMet: isWhole ? cores < CORES_MAX : null,
        ...(isWhole ? {} : { note: 'fewer sockets than asked for, at the same rate' }),
      },
    ],
    notRun,
  }
}

function sumOf(renewing: Renewing, measure: (pid: number) => number | null): number {
  return renewing.processes().reduce((sum, pid) => sum + (measure(pid) ?? Number.NaN), 0)
}
