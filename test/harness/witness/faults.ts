/**
 * The frame of each test of faults: a cluster of three and three, a witness, some rounds, and a report. Safety is asserted always. Bounds are about real
 * time: in the short form, which shares its machine with other tests, they are asserted times `SLACK`, so that only what is broken fails; the
 * long form (`npm run faults`, which sets `TEST_ROUNDS`) asserts the bounds themselves.
 */
import { strict as assert } from 'node:assert'
import { type Servers, type ServersOptions, startServers } from '../servers.ts'
import { Witness, type WitnessOptions } from './witness.ts'

const ROUNDS = Number(process.env.TEST_ROUNDS ?? 0)
export const isLong = ROUNDS > 0
const SLACK = 6

type Measured = { what: string; ms: number; boundMs: number }

export type Struck = {
  servers: Servers
  witness: Witness
  /** From 0. */
  round: number
  /** A figure that the issue bounds. */
  bound(what: string, measured: { ms: number; boundMs: number }): void
}

export async function underFaults(
  name: string,
  strike: (struck: Struck) => Promise<void>,
  options: { servers?: ServersOptions; witness?: Omit<WitnessOptions, 'urls'> } = {},
): Promise<void> {
  const etcd = { isSynced: isLong, ...options.servers?.etcd }
  const servers = await startServers({ ...options.servers, etcd })
  let witness: Witness | null = null
  const measured: Measured[] = []
  const bound: Struck['bound'] = (what, { ms, boundMs }) => void measured.push({ what, ms, boundMs })
  try {
    witness = await Witness.start({ urls: servers.urls, ...options.witness })
    const fromMs = performance.now()
    for (let round = 0; round < Math.max(1, ROUNDS); round++) await strike({ servers, witness, round, bound })
    await witness.end()
    const { count, p50, p99, max } = witness.figures.latencies(fromMs)
    console.error(
      `${name}: ${count} operations, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(0)} ms, max ${max.toFixed(0)} ms`,
    )
  } catch (error) {
    for (const { url, output } of servers.all) console.error(`--- ${url}\n${output().slice(-12_000)}`)
    throw error
  } finally {
    report(name, measured)
    await witness?.abandon()
    await servers.stop()
  }
  for (const { what, ms, boundMs } of measured) {
    const limitMs = isLong ? boundMs : boundMs * SLACK
    assert.ok(ms <= limitMs, `${name}: ${what} ${Math.round(ms)} ms, and the limit is ${limitMs}`)
  }
}

function report(name: string, measured: readonly Measured[]): void {
  for (const what of new Set(measured.map(one => one.what))) {
    const all = measured.filter(one => one.what === what)
    const times = all.map(({ ms }) => ms).sort((one, other) => one - other)
    const [worst, middle] = [times.at(-1) ?? 0, times[times.length >> 1] ?? 0]
    const text =
      all.length > 1
        ? `${middle.toFixed(0)} ms in the middle, ${worst.toFixed(0)} ms at worst of ${all.length}`
        : `${worst.toFixed(0)} ms`
    console.error(`${name}: ${what} ${text} (bound ${all[0]?.boundMs} ms)`)
  }
}
