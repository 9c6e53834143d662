import { rmSync } from 'node:fs'
import { connect } from '@holdfast/client'
import { cpuSeconds } from './bench/measure.ts'
import { rootKey, startServer } from './harness/server.ts'

rmSync('/tmp/hd2', { recursive: true, force: true })
const engine = process.argv[2] ?? 'memory'
const prof = process.argv[3]
const s = await startServer({
  data: '/tmp/hd2',
  flags: ['--engine', engine],
  env: prof ? { NODE_OPTIONS: '--cpu-prof --cpu-prof-dir=' + prof } : { NODE_OPTIONS: process.env.SRV ?? '' },
})
const h = connect({ url: s.url, apiKey: rootKey, ttlMs: 30000 })
for (const secs of (process.env.SECS ?? '1,3,3').split(',').map(Number)) {
  let n = 0
  const end = performance.now() + secs * 1000
  const cpu = process.cpuUsage(),
    sc = cpuSeconds(s.child.pid!)!
  await Promise.all(
    Array.from({ length: 512 }, async (_, i) => {
      const name = 'bench/' + i
      while (performance.now() < end) {
        const l = await h.acquire(name)
        await l.release()
        n++
      }
    }),
  )
  const c = process.cpuUsage(cpu)
  console.log(
    (n / secs).toFixed(0),
    'cycles/s; client',
    ((c.user + c.system) / n).toFixed(1),
    'us/cycle, server',
    (((cpuSeconds(s.child.pid!)! - sc) * 1e6) / n).toFixed(1),
    'us/cycle',
  )
}
await h.close()
await s.stop()
process.exit(0)
