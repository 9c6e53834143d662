/**
 * Whether the wall clock leaves the time since boot. It was set; or the machine was frozen so that no clock of it counted, and the wall clock has been put
 * right since: the one trace that leaves of what S2 presumes not to happen (SAFETY section 1). Nothing is decided by it: it is told.
 */
import { type Cancel, type Clock, every } from '../clock.ts'

export const LOOK_MS = 1_000
/** What slews a clock moves it by less than a thousandth of the time. */
export const CLOCK_STEP_MS = 1_000

/** `stepped` is told by how much, ahead or back. Smaller steps are not seen, nor one that is taken back before the next look. */
export function watchClockSteps(clock: Clock, stepped: (ms: number) => void): Cancel {
  const ahead = () => clock.wallMs() - clock.bootMs()
  let beforeMs = ahead()
  return every(clock, LOOK_MS, () => {
    const nowMs = ahead()
    const stepMs = nowMs - beforeMs
    beforeMs = nowMs
    if (Math.abs(stepMs) >= CLOCK_STEP_MS) stepped(stepMs)
  })
}
