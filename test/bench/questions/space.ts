/** How large is the data folder after many cycles, beside what is live? */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { holdfast } from '../holdfast.ts'
import { hold } from '../load.ts'
import type { Report, Row } from '../report.ts'

const WORKERS = 512
const LIVE = 10_000
/** What docs/operations.md states: the folder is no larger than this plus four times the live state. */
const BOUND_MIB = 128

function folderMiB(path: string): number {
  let bytes = 0
  for (const entry of readdirSync(path, { recursive: true, withFileTypes: true })) {
    // What is allocated, not how long a sparse file says it is.
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).blocks * 512
  }
  return bytes / 2 ** 20
}

export async function space({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const cycles = isQuick ? 200_000 : 10_000_000
  // Of the log; the archive has a bound of its own, and is as large as that says.
  const bench = await holdfast({ flags: ['--audit-bytes-max', '0'] })
  await hold(bench.server.url, 0, LIVE)
  const rows: Row[] = [
    { name: `${LIVE.toLocaleString('en-US')} locks held, before`, value: folderMiB(bench.folder), unit: 'MiB' },
  ]
  for (const part of [0.1, 0.3, 0.6]) {
    let left = Math.round(cycles * part)
    await Promise.all(
      Array.from({ length: WORKERS }, async (_, worker) => {
        while (left-- > 0) {
          const lock = await bench.client.acquire(`bench/${worker}`)
          await lock.release()
        }
      }),
    )
    rows.push({
      name: `… ${Math.round(cycles * part).toLocaleString('en-US')} cycles later`,
      value: folderMiB(bench.folder),
      unit: 'MiB',
    })
  }
  await bench.close()
  const final = rows.at(-1)?.value ?? Number.NaN
  return {
    question: `Space after ${cycles.toLocaleString('en-US')} cycles`,
    about: 'What the files of the data folder occupy while the server runs.',
    rows,
    verdicts: [{ claim: 'MiB', value: final, target: `≤ ${BOUND_MIB}`, isMet: final <= BOUND_MIB }],
  }
}
