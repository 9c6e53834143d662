/** What do 100,000 live sessions cost the server, each on a connection of its own, renewing every five seconds? */
import { spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { nodeFlags } from '../../../scripts/node.mjs'
import { temporaryFolder } from '../../harness/process.ts'
import { rootKey, startServer } from '../../harness/server.ts'
import { cpuSeconds, memoryMiB } from '../measure.ts'
import type { Report } from '../report.ts'

const crowd = fileURLToPath(new URL('../crowd.ts', import.meta.url))
const SESSIONS = 100_000
const EVERY_MS = 5_000
/** Files beside the sockets. */
const SPARE_FILES = 1_000

/** As many sockets as the machine lets one process have, raised as far as it can be. */
function socketsMax(wanted: number): number {
  const raised = spawnSync('sh', ['-c', `ulimit -n ${wanted + SPARE_FILES} 2>/dev/null; ulimit -n`], {
    encoding: 'utf8',
  })
  return Math.min(wanted, Number(raised.stdout.trim().split('\n').at(-1)) - SPARE_FILES)
}

export async function renewals({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const sessions = socketsMax(isQuick ? 5_000 : SESSIONS)
  // With fewer sockets each renews more often, so that the rate is the same.
  const everyMs = (EVERY_MS * sessions) / SESSIONS
  const seconds = isQuick ? 5 : 30
  const folder = temporaryFolder('crowd')
  const server = await startServer({
    data: folder.path,
    filesMax: sessions + SPARE_FILES,
  })
  const pid = server.child.pid ?? 0
  const script = `ulimit -n ${sessions + SPARE_FILES}; exec "$0" "$@"`
  const child = spawn(
    'sh',
    [
      '-c',
      script,
      process.execPath,
      ...nodeFlags,
      crowd,
      server.url,
      rootKey,
      `${sessions}`,
      `${everyMs}`,
      `${seconds}`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  await lines.next()
  const before = cpuSeconds(pid) ?? Number.NaN
  const began = performance.now()
  const done = JSON.parse((await lines.next()).value ?? '{}') as { sent: number; replies: number }
  const share = ((cpuSeconds(pid) ?? Number.NaN) - before) / ((performance.now() - began) / 1000)
  const memory = memoryMiB(pid)
  await server.stop()
  folder.remove()
  const isWhole = sessions === SESSIONS
  return {
    question: 'Renewals of 100,000 sessions every 5 s',
    about: `${sessions.toLocaleString('en-US')} sockets with a session each, renewing every ${everyMs} ms: ${Math.round((sessions / everyMs) * 1000).toLocaleString('en-US')} renewals/s.`,
    rows: [
      { name: "server's CPU", value: share, unit: 'cores' },
      {
        name: 'renewals answered',
        value: done.replies / seconds,
        unit: '1/s',
        note: `of ${Math.round(done.sent / seconds)} sent`,
      },
      { name: "server's memory", value: memory?.now ?? Number.NaN, unit: 'MiB' },
    ],
    verdicts: [
      {
        claim: 'cores',
        value: share,
        target: '< 0.5',
        isMet: isWhole ? share < 0.5 : null,
        ...(isWhole ? {} : { note: 'fewer sockets than asked for, at the same rate' }),
      },
    ],
  }
}
