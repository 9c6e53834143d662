/** What a restart, a reading anew or a supervisor gets over: whole runs of the simulator have to see it, for afterwards everything is as it should be. */
import type { Bug, TestOf } from '../bug.ts'

const simulator: TestOf = {
  file: 'test/simulator/simulator.test.ts',
  name: 'whatever befalls servers, clients and store, every seed keeps the rules',
  env: { TEST_SEED: '1', TEST_RUNS: '3' },
}

export const simulatedBugs: readonly Bug[] = [
  {
    id: 'command-ends-its-server',
    rules: ['I8'],
    does: 'A command ends each server that decides it: whoever sends it can stop the service for seconds, as often as he likes.',
    file: 'packages/server/src/shards/turn.ts',
    find: '    if (arrival.asking) this.asked++\n',
    replace:
      "    if (arrival.asking) this.asked++\n    if (command.type === 'transfer') throw new Error('this was not thought of')\n",
    test: simulator,
  },
]
