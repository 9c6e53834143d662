/**
 * Loaded before all else into a process whose clock is faked by libfaketime: that reaches the monotonic clock, the wall clock and timers, but not the
 * time since boot, which Node reads from a file of the kernel. It has to run at the same rate, or the process would see through the fake.
 */

import { syncBuiltinESMExports } from 'node:module'
import os, { uptime } from 'node:os'

const rate = Number(process.env.CHAOS_CLOCK_RATE ?? 1)
// A copy: the imported name is what is replaced.
const real = uptime
const atFirst = real()
os.uptime = () => atFirst + (real() - atFirst) * rate
syncBuiltinESMExports()
