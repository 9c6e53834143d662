/** Medians and ranges of what a matrix has kept, for the table, the page and the plots: said once, so that they cannot disagree. */
import { median } from '../measure.ts'
import type { Cell, Matrix } from './matrix.ts'
import type { Round } from './round.ts'

export type Quantity = Exclude<keyof Round, 'cycles'>

/** What is shown of each, in this order. */
export const quantities: readonly { key: Quantity; title: string; short: string; isBetterHigh: boolean }[] = [
  { key: 'perSecond', title: 'cycles/s', short: 'throughput', isBetterHigh: true },
  { key: 'p50Ms', title: 'p50 ms', short: 'p50', isBetterHigh: false },
  { key: 'p99Ms', title: 'p99 ms', short: 'p99', isBetterHigh: false },
  { key: 'p999Ms', title: 'p99.9 ms', short: 'p99.9', isBetterHigh: false },
  { key: 'serverCpuUs', title: 'servers µs CPU', short: "servers' CPU", isBetterHigh: false },
  { key: 'clientCpuUs', title: 'client µs CPU', short: "client's CPU", isBetterHigh: false },
  { key: 'memoryMiB', title: 'servers MiB', short: 'memory', isBetterHigh: false },
  { key: 'commits', title: 'commits', short: 'commits', isBetterHigh: false },
]

export type Figure = { median: number; low: number; high: number }

/** null: there is none, or it was not measured in all rounds. */
export function figure(cell: Cell | undefined, key: Quantity): Figure | null {
  if (!cell || !('rounds' in cell) || cell.rounds.length === 0) return null
  const values = cell.rounds.map(round => round[key])
  if (!values.every(value => value !== null && Number.isFinite(value))) return null
  const numbers = values as number[] // as was just looked at
  return { median: median(numbers), low: Math.min(...numbers), high: Math.max(...numbers) }
}

export type Loss = { work: string; ours: string; peer: string; quantity: string; times: number; isApart: boolean }

/** The lowest ratio that is a loss: less is what two runs of one thing differ by. */
const TIMES_MIN = 1.05

/** Where a peer is better than each of ours, by medians; `isApart`: no round of one is as good as any of the other. */
export function losses({ works, contenders, cells }: Matrix): Loss[] {
  const isOurs = (id: string) => id.startsWith('holdfast')
  const found: Loss[] = []
  for (const work of works)
    for (const ours of contenders.filter(({ id }) => isOurs(id)))
      for (const peer of contenders.filter(({ id }) => !isOurs(id)))
        for (const { key, short, isBetterHigh } of quantities) {
          const own = figure(cells[work.id]?.[ours.id], key)
          const other = figure(cells[work.id]?.[peer.id], key)
          if (!own || !other) continue
          const times = isBetterHigh ? other.median / own.median : own.median / other.median
          // Nothing at all is nothing that can be compared.
          if (!(times >= TIMES_MIN && Number.isFinite(times))) continue
          const isApart = isBetterHigh ? other.low > own.high : other.high < own.low
          found.push({ work: work.name, ours: ours.label, peer: peer.label, quantity: short, times, isApart })
        }
  return found
}
