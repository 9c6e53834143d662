/** A process that runs the seeds that it is given, one after another, and says what came of each. */
import { planOf } from './plan.ts'
import { judge } from './run.ts'

// Thousands of calls fail in a run, as they should, and finding out where each was made takes a thirtieth of the time. A run that breaks a rule is played
// again by whoever asked for it.
Error.stackTraceLimit = 0

process.on('message', (message: { seed: number; operations: number }) => {
  void judge(planOf(message.seed, message.operations)).then(verdict => process.send?.(verdict))
})
// Ctrl-C goes to all processes of the terminal: the seed is played to its end, and whoever asked for it disconnects.
process.on('SIGINT', () => undefined)
process.on('disconnect', () => process.exit())
