/** What does it cost to encrypt the store? Two servers that differ in nothing else, in turns. */
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../../harness/process.ts'
import { type Bench, holdfast } from '../holdfast.ts'
import { interleaved, latencies, median, rate } from '../measure.ts'
import { cycleOf } from '../peers/peer.ts'
import type { Report, Row } from '../report.ts'

const WORKERS = 512
const SHARE_MIN = 0.85

export async function encryption({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const folder = temporaryFolder('bench-key')
  const key = join(folder.path, 'key')
  writeFileSync(key, randomBytes(32).toString('hex'), { mode: 0o600 })
  const benches = { clear: await holdfast(), encrypted: await holdfast({ flags: ['--encryption-key-file', key] }) }
  const seconds = isQuick ? 1 : 4
  const rounds = isQuick ? 2 : 7
  const cycle = (bench: Bench) => cycleOf(name => bench.client.acquire(name))
  for (const bench of Object.values(benches)) await rate(cycle(bench), { workers: WORKERS, seconds: 1 })
  const many = (bench: Bench) => () => rate(cycle(bench), { workers: WORKERS, seconds })
  const alone = (bench: Bench) => async () => median(await latencies(() => cycle(bench)(0), isQuick ? 200 : 1_000))
  const rates = await interleaved({ clear: many(benches.clear), encrypted: many(benches.encrypted) }, rounds)
  const times = await interleaved({ clear: alone(benches.clear), encrypted: alone(benches.encrypted) }, rounds)
  await Promise.all(Object.values(benches).map(bench => bench.close()))
  folder.remove()
  const rows: Row[] = (['clear', 'encrypted'] as const).flatMap(name => [
    row(`${name}, ${WORKERS} at once`, rates[name], 'cycles/s'),
    row(`${name}, one at a time`, times[name], 'ms'),
  ])
  // Of each pair its own share: a machine whose speed drifts does so for both.
  const share = median(rates.encrypted.map((value, round) => value / (rates.clear[round] ?? Number.NaN)))
  return {
    question: 'the cost of an encrypted store',
    about: 'Two servers on one disk, measured in turns; the client on the same two cores.',
    rows,
    verdicts: [
      { claim: 'of the throughput in the clear', value: share, target: `≥ ${SHARE_MIN}`, isMet: share >= SHARE_MIN },
    ],
    notRun: [],
  }
}

function row(name: string, values: readonly number[], unit: string): Row {
  return { name, value: median(values), unit, spread: [Math.min(...values), Math.max(...values)], note: '' }
}
