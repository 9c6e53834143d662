/** How long does a server need to come back to a million held locks, and how much memory do they take? */
import { temporaryFolder } from '../../harness/process.ts'
import { startServer } from '../../harness/server.ts'
import { hold } from '../load.ts'
import { memoryMiB } from '../measure.ts'
import type { Report } from '../report.ts'

export async function recovery({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const locks = isQuick ? 100_000 : 1_000_000
  const folder = temporaryFolder('recovery')
  const first = await startServer({ data: folder.path })
  await hold(first.url, 0, locks)
  const loaded = memoryMiB(first.child.pid ?? 0)
  await first.kill()
  const began = performance.now()
  const second = await startServer({ data: folder.path })
  const seconds = (performance.now() - began) / 1000
  const recovered = memoryMiB(second.child.pid ?? 0)
  await second.kill()
  folder.remove()
  const gib = (recovered?.now ?? Number.NaN) / 1024
  return {
    question: `Recovery of ${locks.toLocaleString('en-US')} held locks`,
    about: 'From the start of the process after kill -9 until /readyz answers 200.',
    rows: [
      { name: 'recovery', value: seconds, unit: 's' },
      {
        name: 'resident memory after recovery',
        value: recovered?.now ?? Number.NaN,
        unit: 'MiB',
        note: `peak ${Math.round(recovered?.peak ?? 0)} MiB`,
      },
      { name: 'resident memory while loading', value: loaded?.now ?? Number.NaN, unit: 'MiB' },
    ],
    verdicts: [
      { claim: 'seconds to recover', value: seconds, target: '< 10', isMet: isQuick ? null : seconds < 10 },
      { claim: 'GiB held', value: gib, target: '< 1', isMet: isQuick ? null : gib < 1 },
    ],
  }
}
