/** The command line: what works under a lock, and what is said beside it. */
import type { Bug } from '../bug.ts'

export const commandBugs: readonly Bug[] = [
  {
    id: 'keeper-waits-for-its-reader',
    rules: ['S2', 'I4'],
    does: '`holdfast run` waits for whoever reads its standard error, while its lock is given on and the command works.',
    file: 'packages/cli/src/holding-events.ts',
    find: 'return await work(tellOf(options, line => aside.say(line)))',
    replace: 'return await work(tellOf(options, line => void process.stderr.write(line)))',
    test: { file: 'test/system/cli-run.test.ts', name: 'so it is when whoever reads what both say stands still' },
  },
]
