import { rmSync } from 'node:fs'
import { connect } from '@holdfast/client'
import { commits } from './bench/commits.ts'
import { rootKey, startServer } from './harness/server.ts'
import { Wire } from './harness/wire.ts'

rmSync('/tmp/hd', { recursive: true, force: true })
const s = await startServer({ data: '/tmp/hd' })
const q = (a: number[], p: number) => (a.sort((x, y) => x - y)[Math.floor(a.length * p)]! * 1000).toFixed(0)
const w = await Wire.connect(s.url, { ttlMs: 10000 })
const ren: number[] = [],
  cyc: number[] = [],
  lib: number[] = []
for (let i = 0; i < 2000; i++) {
  const t = performance.now()
  await w.ask({ type: 'renew' })
  ren.push(performance.now() - t)
}
for (let i = 0; i < 1000; i++) {
  const t = performance.now()
  const r: any = await w.ask({ type: 'acquire', name: 'x', settled: w.nextId })
  if (r.error) throw r.error
  await w.ask({ type: 'release', name: 'x', token: r.grant.token })
  cyc.push(performance.now() - t)
}
const h = connect({ url: s.url, apiKey: rootKey })
for (let i = 0; i < 1000; i++) {
  const t = performance.now()
  const l = await h.acquire('y')
  await l.release()
  lib.push(performance.now() - t)
}
console.log(
  'renew RTT',
  q(ren, 0.5),
  'wire cycle',
  q(cyc, 0.5),
  'lib cycle',
  q(lib, 0.5),
  'commit',
  q(await commits(1000), 0.5),
)
await h.close()
w.close()
await s.stop()
process.exit(0)
