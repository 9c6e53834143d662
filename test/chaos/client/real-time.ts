/** The clock that is common to all processes of the machine, also for one whose own clock is faked. */
import { readFileSync } from 'node:fs'

/**
 * `CLOCK_MONOTONIC` in ms. Where that is faked, the kernel's own text says how long the machine has been up: to 10 ms, and never too late. The two
 * differ by what the machine has slept.
 */
export function realTime({ isClockFaked, sleptMs }: { isClockFaked: boolean; sleptMs: number }) {
  if (!isClockFaked) return { nowMs: () => Number(process.hrtime.bigint()) / 1e6, grainMs: 0 }
  return { nowMs: () => uptimeMs() - sleptMs, grainMs: UPTIME_GRAIN_MS }
}

/** How long the machine has slept since it was started, to 10 ms; to be asked where the clock is not faked. */
export function sleptSinceBootMs(): number {
  const ms = uptimeMs() - Number(process.hrtime.bigint()) / 1e6
  return Math.abs(ms) < UPTIME_GRAIN_MS * 2 ? 0 : ms
}

const UPTIME_GRAIN_MS = 10

function uptimeMs(): number {
  return Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1_000
}
