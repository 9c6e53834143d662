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
  {
    id: 'watches-always-begin-anew',
    rules: ['I13'],
    does: 'Whoever resumes a watch is reset, though all that happened since is there: what lies between is never read.',
    file: 'packages/server/src/shards/feed.ts',
    find: 'const isKnown = from && isBefore',
    replace: 'const isKnown = after === undefined && from && isBefore',
    test: simulator,
  },
  {
    id: 'wait-dated-back',
    rules: ['I7'],
    does: 'A wait stands in line as if it had come a second earlier: it goes before those who were there.',
    file: 'packages/server/src/locks/acquire.ts',
    find: `    rank,
    at: draft.at,
    sinceMs: draft.now,
`,
    replace: `    rank: rank - 1_000,
    at: draft.at,
    sinceMs: draft.now - 1_000,
`,
    test: simulator,
  },
  {
    id: 'older-link-heard-on',
    rules: ['I18', 'P15'],
    does: 'What lies in a connection that the other server has given up is done when it comes, though it has been asked again over the next: what was refused there is granted to nobody.',
    file: 'packages/server/src/routing/accepted-links.ts',
    find: `    older?.accepted.closed()
    older?.transport.close()
`,
    replace: '',
    test: {
      file: 'test/simulator/simulator.test.ts',
      name: 'what lies in a torn connection between two servers is not granted when it has been refused over the next (seed 4)',
    },
  },
]
