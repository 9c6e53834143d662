/** How many uncontended acquire and release cycles a second, beside what others use for the same? */
import { interleaved, median, rate } from '../measure.ts'
import { etcdLock } from '../peers/etcd.ts'
import { holdfastEmbedded } from '../peers/holdfast.ts'
import { cycleOf, type Peer } from '../peers/peer.ts'
import { redlock } from '../peers/redis.ts'
import type { Report, Row, Verdict } from '../report.ts'

const WORKERS = 512

export async function cycles({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const ours = await holdfastEmbedded()
  const peers = [await redlock(), await etcdLock()]
  const running = [ours, ...peers.filter((peer): peer is Peer => typeof peer !== 'string')]
  const notRun = peers.filter(peer => typeof peer === 'string')
  const seconds = isQuick ? 1 : 4
  const contenders: Record<string, () => Promise<number>> = {}
  for (const peer of running) contenders[peer.name] = () => rate(cycleOf(peer.acquire), { workers: WORKERS, seconds })
  await rate(cycleOf(ours.acquire), { workers: WORKERS, seconds: 1 })
  const results = await interleaved(contenders, isQuick ? 2 : 5)
  await Promise.all(running.map(peer => peer.close()))
  const rows: Row[] = Object.entries(results).map(([name, values]) => ({
    name,
    value: median(values),
    unit: 'cycles/s',
    spread: [Math.min(...values), Math.max(...values)],
    note: running.find(peer => peer.name === name)?.durability ?? '',
  }))
  const own = median(results[ours.name] ?? [])
  const verdicts: Verdict[] = []
  for (const [prefix, factor] of [
    ['Redlock', 1.5],
    ['npm etcd3', 100],
  ] as const) {
    const peer = rows.find(row => row.name.startsWith(prefix))
    const claim = `times ${prefix}`
    if (peer)
      verdicts.push({ claim, value: own / peer.value, target: `≥ ${factor}`, isMet: own / peer.value >= factor })
    else verdicts.push({ claim, value: Number.NaN, target: `≥ ${factor}`, isMet: null, note: 'the peer did not run' })
  }
  return {
    question: `${WORKERS} concurrent cycles on distinct locks`,
    about: 'One client process and all servers on the same two cores, rounds interleaved.',
    rows,
    verdicts,
    notRun,
  }
}
