/** A process that runs the seeds that it is given, one after another, and says what came of each. */
import { planOf } from './plan.ts'
import { judge } from './run.ts'

process.on('message', (message: { seed: number; operations: number }) => {
  void judge(planOf(message.seed, message.operations)).then(verdict => process.send?.(verdict))
})
process.on('disconnect', () => process.exit())
