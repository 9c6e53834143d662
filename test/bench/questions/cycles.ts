/** How many uncontended acquire and release cycles a second, beside what others use for the same? */
import { holdfast } from '../holdfast.ts'
import { type Cycle, interleaved, median, rate } from '../measure.ts'
import { etcdLock } from '../peers/etcd.ts'
import { type Peer, redlock } from '../peers/redis.ts'
import type { Report, Row, Verdict } from '../report.ts'

const WORKERS = 512

export async function cycles({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const ours = await holdfast()
  const peers = [await redlock(), await etcdLock()]
  const running = peers.filter((peer): peer is Peer => typeof peer !== 'string')
  const notRun = peers.filter(peer => typeof peer === 'string')
  const cycle: Cycle = async worker => {
    const lock = await ours.client.acquire(`bench/${worker}`)
    await lock.release()
  }
  const seconds = isQuick ? 1 : 4
  const contenders: Record<string, () => Promise<number>> = {
    Holdfast: () => rate(cycle, { workers: WORKERS, seconds }),
  }
  for (const peer of running) contenders[peer.name] = () => rate(peer.cycle, { workers: WORKERS, seconds })
  await rate(cycle, { workers: WORKERS, seconds: 1 })
  const results = await interleaved(contenders, isQuick ? 2 : 5)
  await Promise.all([ours.close(), ...running.map(peer => peer.close())])
  const rows: Row[] = Object.entries(results).map(([name, values]) => ({
    name,
    value: median(values),
    unit: 'cycles/s',
    spread: [Math.min(...values), Math.max(...values)],
    note:
      name === 'Holdfast'
        ? 'synced, one disk; fencing token, exactly once'
        : (running.find(peer => peer.name === name)?.durability ?? ''),
  }))
  const own = median(results.Holdfast ?? [])
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
