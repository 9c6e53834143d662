/** What a run leaves behind, as JSON: every round of every figure, and what it ran on. */
import { cpus, loadavg, release, totalmem } from 'node:os'
import type { Report } from './report.ts'

export type Machine = {
  cpus: number
  model: string
  memoryGiB: number
  kernel: string
  node: string
  /** Of the last minute before the run: above a few tenths somebody else was at work. */
  load: number
}

export type Kept = {
  at: string
  command: string
  machine: Machine
  isQuick: boolean
  reports: Record<string, Report>
}

export function machineNow(): Machine {
  return {
    cpus: cpus().length,
    model: cpus()[0]?.model ?? '',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    load: loadavg()[0] ?? Number.NaN,
  }
}
