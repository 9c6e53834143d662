/** Does an operation cost more when a million locks are held, or when ten thousand wait for one? Measured in the server's own CPU. */
import { Wire } from '../../harness/wire.ts'
import { type Bench, holdfast } from '../holdfast.ts'
import { hold } from '../load.ts'
import { cpuSeconds, median } from '../measure.ts'
import type { Report } from '../report.ts'

const WORKERS = 512
const FEW = 1_000

export async function growth({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const bench = await holdfast()
  const many = isQuick ? 50_000 : 1_000_000
  const cycles = isQuick ? 20_000 : 100_000
  await hold(bench.server.url, 0, FEW)
  await costOfCycle(bench, cycles)
  const few = await costOfCycle(bench, cycles)
  await hold(bench.server.url, FEW, many - FEW)
  await costOfCycle(bench, cycles)
  const full = await costOfCycle(bench, cycles)
  await bench.close()
  const short = await costOfHandOver({ waiters: 10, turns: isQuick ? 500 : 2_000 })
  const waiters = isQuick ? 1_000 : 10_000
  const long = await costOfHandOver({ waiters, turns: isQuick ? 500 : 2_000 })
  return {
    question: 'Growth',
    about: "The server's CPU for one cycle, and for one hand-over, few against many.",
    rows: [
      { name: `a cycle, ${FEW} locks held`, value: few, unit: 'µs CPU' },
      { name: `a cycle, ${many.toLocaleString('en-US')} locks held`, value: full, unit: 'µs CPU' },
      { name: 'a hand-over, 10 waiting', value: short, unit: 'µs CPU' },
      { name: `a hand-over, ${waiters.toLocaleString('en-US')} waiting`, value: long, unit: 'µs CPU' },
    ],
    verdicts: [
      { claim: 'a cycle, times', value: full / few, target: '< 1.5', isMet: isQuick ? null : full / few < 1.5 },
      { claim: 'a hand-over, times', value: long / short, target: '< 1.5', isMet: isQuick ? null : long / short < 1.5 },
    ],
  }
}

/** Median over five stretches of the server's CPU microseconds for a cycle. */
async function costOfCycle({ client, server }: Bench, cycles: number): Promise<number> {
  const costs: number[] = []
  for (let stretch = 0; stretch < 5; stretch++) {
    let left = cycles / 5
    const before = cpuSeconds(server.child.pid ?? 0) ?? Number.NaN
    await Promise.all(
      Array.from({ length: WORKERS }, async (_, worker) => {
        while (left-- > 0) {
          const lock = await client.acquire(`bench/${worker}`)
          await lock.release()
        }
      }),
    )
    costs.push((((cpuSeconds(server.child.pid ?? 0) ?? Number.NaN) - before) * 1e6) / (cycles / 5))
  }
  return median(costs)
}

const WAITS_PER_SESSION = 500

/** Everybody who is granted the lock releases it and joins the queue again, until `turns` have passed. */
async function costOfHandOver({ waiters, turns }: { waiters: number; turns: number }): Promise<number> {
  const bench = await holdfast()
  const wires = await Promise.all(
    Array.from({ length: Math.ceil(waiters / WAITS_PER_SESSION) }, () =>
      Wire.connect(bench.server.url, { ttlMs: 3_600_000 }),
    ),
  )
  let left = Number.POSITIVE_INFINITY
  let over: () => void = () => {}
  const isOver = new Promise<void>(resolve => {
    over = resolve
  })
  const wait = async (wire: Wire, task: string) => {
    for (;;) {
      const reply = await wire.ask({ type: 'acquire', name: 'convoy', task })
      const { grant } = reply as unknown as { grant: { token: number } }
      if (left-- <= 0) return over()
      void wire.ask({ type: 'release', name: 'convoy', token: grant.token })
    }
  }
  const holder = await bench.client.acquire('convoy')
  for (let index = 0; index < waiters; index++) {
    const wire = wires[index % wires.length]
    if (wire) void wait(wire, `${index}`)
  }
  while ((await bench.client.rest.show('convoy')).waiters < waiters)
    await new Promise(resolve => setTimeout(resolve, 50))
  left = turns
  const before = cpuSeconds(bench.server.child.pid ?? 0) ?? Number.NaN
  await holder.release()
  await isOver
  const cost = (((cpuSeconds(bench.server.child.pid ?? 0) ?? Number.NaN) - before) * 1e6) / turns
  for (const wire of wires) wire.close()
  await bench.close()
  return cost
}
