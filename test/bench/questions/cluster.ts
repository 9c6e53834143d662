/** Three servers over three etcd members, and what others make of the same members, or of three Redis: all on these two cores. */
import { connect, type Holdfast } from '@holdfast/client'
import { rootKey } from '../../harness/server.ts'
import { type Servers, startServers } from '../../harness/servers.ts'
import { convoy } from '../convoy.ts'
import { type Cycle, interleaved, median, quantile, rate } from '../measure.ts'
import { etcdLockOn } from '../peers/etcd.ts'
import { etcdCommits, etcdDirect } from '../peers/etcd-direct.ts'
import { etcdFacts } from '../peers/etcd-members.ts'
import { holdfastOver } from '../peers/holdfast.ts'
import { cycleOf, type Peer } from '../peers/peer.ts'
import { redlock } from '../peers/redis.ts'
import type { Report, Row, Verdict } from '../report.ts'

const WORKERS = 512
const WAITERS = 64

async function opened(): Promise<{ servers: Servers; client: Holdfast }> {
  const servers = await startServers({ etcd: { isSynced: true } })
  return { servers, client: connect({ url: servers.urls, apiKey: rootKey, ttlMs: 30_000 }) }
}

async function closed({ servers, client }: { servers: Servers; client: Holdfast }): Promise<void> {
  await client.close()
  await servers.stop()
}

export async function clusterCycles({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const servers = await startServers({ etcd: { isSynced: true } })
  const ours = holdfastOver(servers)
  const { etcd } = servers
  const peers = [etcdDirect(etcd), etcdLockOn(etcd, 'three etcd members'), await redlock(1), await redlock(3)]
  const running = [ours, ...peers.filter((peer): peer is Peer => typeof peer !== 'string')]
  const seconds = isQuick ? 1 : 4
  const contenders: Record<string, () => Promise<number>> = {}
  for (const peer of running) contenders[peer.name] = () => rate(cycleOf(peer.acquire), { workers: WORKERS, seconds })
  await rate(cycleOf(ours.acquire), { workers: WORKERS, seconds: 2 })
  const results = await interleaved(contenders, isQuick ? 2 : 5)
  await Promise.all(running.slice(1).map(peer => peer.close()))
  await ours.close()
  const rows: Row[] = Object.entries(results).map(([name, values]) => ({
    name,
    value: median(values),
    unit: 'cycles/s',
    spread: [Math.min(...values), Math.max(...values)],
    note: running.find(peer => peer.name === name)?.durability ?? '',
  }))
  const own = median(results[ours.name] ?? [])
  const verdicts = [
    ['one etcd Txn', 20],
    ['npm etcd3', 100],
    ['Redlock (npm), one', 1],
    ['Redlock (npm), 3', 3],
  ].map(([prefix, factor]): Verdict => {
    const peer = rows.find(row => row.name.startsWith(String(prefix)))
    const claim = `times ${prefix}`
    if (!peer) return { claim, value: Number.NaN, target: `≥ ${factor}`, isMet: null, note: 'the peer did not run' }
    return { claim, value: own / peer.value, target: `≥ ${factor}`, isMet: own / peer.value >= Number(factor) }
  })
  return {
    question: `${WORKERS} concurrent cycles on distinct locks, over etcd`,
    about:
      'One client process, three servers, three etcd members and all peers on the same two cores, rounds interleaved.',
    rows,
    verdicts,
    notRun: peers.filter(peer => typeof peer === 'string'),
  }
}

export async function clusterHandOver({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const { servers, client } = await opened()
  const times: number[] = []
  const floor: number[] = []
  for (let round = 0; round < (isQuick ? 2 : 5); round++) {
    times.push(...(await convoy(client, { waiters: WAITERS, turns: isQuick ? 200 : 600 })))
    floor.push(...(await etcdCommits(servers.etcd.urls, isQuick ? 200 : 600)))
  }
  await closed({ servers, client })
  const ratio = median(times) / median(floor)
  return {
    question: `One lock, ${WAITERS} waiters, over etcd: hand-over`,
    about:
      'From before the release is sent until the next holder has been told, against one etcd commit of the same run.',
    rows: [
      { name: 'hand-over p50', value: median(times), unit: 'ms' },
      { name: 'hand-over p99', value: quantile(times, 0.99), unit: 'ms' },
      { name: 'one etcd commit p50', value: median(floor), unit: 'ms' },
      { name: 'one etcd commit p99', value: quantile(floor, 0.99), unit: 'ms' },
    ],
    verdicts: [{ claim: 'etcd commits a hand-over, p50', value: ratio, target: '≤ 1.3', isMet: ratio <= 1.3 }],
  }
}

/** Full load for a while; then renewals alone; then the owner is killed. */
export async function clusterEndurance({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const { servers, client } = await opened()
  const cycle = cycleOf(name => client.acquire(name))
  const minutes: number[] = []
  let fileBytes = 0
  for (let minute = 0; minute < (isQuick ? 2 : 10); minute++) {
    minutes.push(await rate(cycle, { workers: WORKERS, seconds: isQuick ? 5 : 60 }))
    fileBytes = Math.max(fileBytes, (await etcdFacts(servers.etcd.urls)).fileBytes)
  }
  const raft = await underRenewals(servers, isQuick ? 5 : 30)
  const failover = await acrossFailover(servers, cycle, isQuick ? 4 : 20)
  await closed({ servers, client })
  const [first = Number.NaN, last = Number.NaN] = [minutes[0], minutes.at(-1)]
  return {
    question: 'Full load over etcd for minutes, renewals alone, and a failover',
    about: `${minutes.length} stretches of ${isQuick ? 5 : 60} s; then nothing but ${RENEWERS} sessions that renew; then the owner is killed.`,
    rows: [
      { name: 'first stretch', value: first, unit: 'cycles/s' },
      { name: 'last stretch', value: last, unit: 'cycles/s', spread: [Math.min(...minutes), Math.max(...minutes)] },
      { name: "etcd's file at its largest", value: fileBytes / 2 ** 20, unit: 'MiB' },
      { name: 'renewals', value: raft.renewals, unit: '/s', note: `${RENEWERS} sessions` },
      { name: 'raft entries without them', value: raft.idle, unit: '/s', note: 'beats, and looks for alarms' },
      { name: 'raft entries with them', value: raft.renewing, unit: '/s' },
      { name: 'before the failover', value: failover.before, unit: 'cycles/s' },
      { name: 'after the failover', value: failover.after, unit: 'cycles/s' },
    ],
    verdicts: [
      { claim: 'last to first', value: last / first, target: '≥ 0.85', isMet: last / first >= 0.85 },
      {
        claim: 'after to before the failover',
        value: failover.after / failover.before,
        target: '≥ 0.85',
        isMet: failover.after / failover.before >= 0.85,
      },
      {
        claim: 'raft entries a second that renewals add',
        value: raft.renewing - raft.idle,
        target: '≤ 0.5',
        isMet: raft.renewing - raft.idle <= 0.5,
      },
      { claim: "etcd's file, MiB", value: fileBytes / 2 ** 20, target: '≤ 1024', isMet: fileBytes <= 2 ** 30 },
    ],
  }
}

/** Sessions that hold a lock each and do nothing but renew. */
const RENEWERS = 100
const RENEWERS_TTL_MS = 1_500

/** Raft entries a second, first of servers that nobody uses, then under renewals alone. */
async function underRenewals(servers: Servers, seconds: number) {
  const rateOfRaft = async () => {
    const before = await etcdFacts(servers.etcd.urls)
    await new Promise(resolve => setTimeout(resolve, seconds * 1_000))
    return ((await etcdFacts(servers.etcd.urls)).raftIndex - before.raftIndex) / seconds
  }
  // What the load has left behind is cleaned first.
  await new Promise(resolve => setTimeout(resolve, 2 * seconds * 1_000))
  const idle = await rateOfRaft()
  const renewers = Array.from({ length: RENEWERS }, () =>
    connect({ url: servers.urls, apiKey: rootKey, ttlMs: RENEWERS_TTL_MS }),
  )
  const held = await Promise.all(renewers.map((renewer, index) => renewer.acquire(`held/${index}`)))
  await new Promise(resolve => setTimeout(resolve, RENEWERS_TTL_MS))
  const renewing = await rateOfRaft()
  if (held.some(lock => lock.signal.aborted)) throw new Error('a lock was lost under renewals alone')
  await Promise.all(renewers.map(renewer => renewer.close()))
  return { idle, renewing, renewals: (RENEWERS * 3 * 1_000) / RENEWERS_TTL_MS }
}

async function acrossFailover(
  servers: Servers,
  cycle: Cycle,
  seconds: number,
): Promise<{ before: number; after: number }> {
  const before = await rate(cycle, { workers: WORKERS, seconds })
  await servers.all[await servers.busiest()]!.kill()
  // Until somebody answers again.
  await cycle(0)
  return { before, after: await rate(cycle, { workers: WORKERS, seconds }) }
}
