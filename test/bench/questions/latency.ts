/** What does one cycle cost when nobody else is there, and what a hand-over, measured in synced commits of the same store? */
import { commits } from '../commits.ts'
import { convoy } from '../convoy.ts'
import { holdfast } from '../holdfast.ts'
import { latencies, median, quantile } from '../measure.ts'
import type { Report } from '../report.ts'

export async function oneAtATime({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const bench = await holdfast()
  const cycle = async () => {
    const lock = await bench.client.acquire('bench/one')
    await lock.release()
  }
  await latencies(cycle, 200)
  const ours: number[] = []
  const floor: number[] = []
  for (let round = 0; round < (isQuick ? 2 : 5); round++) {
    ours.push(...(await latencies(cycle, isQuick ? 300 : 1_000)))
    floor.push(...(await commits(isQuick ? 300 : 1_000)))
  }
  await bench.close()
  const ratio = median(ours) / (2 * median(floor))
  return {
    question: 'One cycle at a time',
    about: 'Acquire, release, acquire … from one caller, through the library, against two synced LMDB commits.',
    rows: [
      { name: 'cycle p50', value: median(ours), unit: 'ms' },
      { name: 'cycle p99', value: quantile(ours, 0.99), unit: 'ms' },
      { name: 'one synced LMDB commit p50', value: median(floor), unit: 'ms' },
      { name: 'one synced LMDB commit p99', value: quantile(floor, 0.99), unit: 'ms' },
    ],
    verdicts: [{ claim: 'times two synced commits', value: ratio, target: '≤ 1.3', isMet: ratio <= 1.3 }],
  }
}

const WAITERS = 64

export async function handOver({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const bench = await holdfast()
  const times = await convoy(bench.client, { waiters: WAITERS, turns: isQuick ? 400 : 2_000 })
  await bench.close()
  const floor = await commits(isQuick ? 300 : 1_000)
  const ratio = median(times) / median(floor)
  return {
    question: `One lock, ${WAITERS} waiters: hand-over`,
    about: 'From before the release is sent until the next holder has been told, against one synced LMDB commit.',
    rows: [
      { name: 'hand-over p50', value: median(times), unit: 'ms' },
      { name: 'hand-over p99', value: quantile(times, 0.99), unit: 'ms' },
      { name: 'one synced LMDB commit p50', value: median(floor), unit: 'ms' },
    ],
    verdicts: [{ claim: 'synced commits a hand-over, p50', value: ratio, target: '≤ 2', isMet: ratio <= 2 }],
  }
}
