/**
 * Bugs of the other tables once more, for the apparatus that knows nothing of them: what the explorer and the simulator find by walking on. Their own
 * tests, which were written for them, are in the other rows.
 */
import type { Bug, TestOf } from '../bug.ts'
import { coreBugs } from './core.ts'
import { logBugs } from './log.ts'
import { ownershipBugs } from './ownership.ts'
import { requestBugs } from './requests.ts'
import { shardBugs } from './shards.ts'

const known: readonly Bug[] = [...coreBugs, ...logBugs, ...ownershipBugs, ...requestBugs, ...shardBugs]

const explorer = 'test/explorer/explorer.test.ts'
const log: TestOf = {
  file: explorer,
  name: 'two servers take one log from each other in every order, and a commit comes again at any later time',
}
const losses: TestOf = {
  file: explorer,
  name: 'two servers take one log from each other in every order, and a call is given up in its middle',
}
const core: TestOf = {
  file: explorer,
  name: 'every order of the commands of two sessions on one lock keeps the rules, four deep',
}
const modes: TestOf = { file: explorer, name: 'the same of readers and writers, and of permits, three deep' }
/** The first seed shows them. */
const simulator: TestOf = {
  file: 'test/simulator/simulator.test.ts',
  name: 'whatever befalls servers, clients and store, every seed keeps the rules',
  env: { TEST_SEED: '1', TEST_RUNS: '3' },
}

const found: readonly { id: string; test: TestOf }[] = [
  { id: 'append-without-owner', test: log },
  { id: 'append-over-another', test: log },
  { id: 'takeover-without-compare', test: log },
  { id: 'foreign-batch-taken-for-own', test: losses },
  { id: 'exclusive-beside-a-delay', test: core },
  { id: 'grants-outlive-their-session', test: core },
  { id: 'waits-outlive-their-session', test: core },
  { id: 'nobody-woken', test: core },
  { id: 'latest-first', test: core },
  { id: 'reader-beside-a-writer', test: modes },
  { id: 'one-permit-too-many', test: modes },
  { id: 'transfer-keeps-the-token', test: simulator },
  { id: 'acknowledged-before-durable', test: simulator },
]

export const walkedBugs: readonly Bug[] = found.map(({ id, test }) => {
  const bug = known.find(one => one.id === id)
  if (!bug) throw new Error(`there is no bug ${id}`)
  return { ...bug, id: `${id}-walked`, test }
})
