/**
 * Bugs of the other tables once more, for the apparatus that knows nothing of them: what the explorer and the simulator find by walking on. Their own
 * tests, which were written for them, are in the other rows.
 */
import type { Bug, TestOf } from '../bug.ts'
import { clientBugs } from './client.ts'
import { coreBugs } from './core.ts'
import { logBugs } from './log.ts'
import { ownershipBugs } from './ownership.ts'
import { requestBugs } from './requests.ts'
import { shardBugs } from './shards.ts'

const known: readonly Bug[] = [...clientBugs, ...coreBugs, ...logBugs, ...ownershipBugs, ...requestBugs, ...shardBugs]

const explorer = (name: string): TestOf => ({ file: 'test/explorer/explorer.test.ts', name })
const log = explorer(
  'two servers take one log from each other in every order, and a commit comes again at any later time',
)
const losses = explorer('two servers take one log from each other in every order, and a call is given up in its middle')
const core = explorer('every order of the commands of two sessions on one lock keeps the rules, four deep')
const modes = explorer('the same of readers and writers, and of permits, three deep')
const beats = explorer('an owner whose commits are slow or unanswered answers nothing once another may have taken over')
const drift = explorer('nor one that is stopped, whose clock is slow, or whose machine was suspended')
const holder = explorer(
  'a holder believes in nothing that has ended, however late its renewals are, and nobody does beside it',
)
const renewal = explorer(
  'a renewal that lay in the socket of an owner that was stopped is answered by nobody who was replaced',
)
const longer = explorer('who renewed for longer is waited for by the next owner as well')
const handingOver = explorer('an owner that hands over answers nothing that the next one could contradict')
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
  { id: 'deadline-from-the-reply', test: beats },
  { id: 'no-deadline', test: beats },
  { id: 'check-of-before-the-receipt', test: beats },
  { id: 'beat-under-way-trusted', test: beats },
  { id: 'pause-pushes-the-deadline', test: beats },
  { id: 'blind-beat', test: beats },
  { id: 'epoch-kept', test: beats },
  { id: 'deadline-as-long-as-the-record', test: drift },
  { id: 'suspension-not-seen', test: drift },
  { id: 'read-without-trust', test: renewal },
  { id: 'append-extends-the-deadline', test: renewal },
  { id: 'counted-from-the-reply', test: holder },
  { id: 'clocks-taken-for-equal', test: holder },
  { id: 'renewed-while-its-end-is-in-flight', test: holder },
  { id: 'longer-time-in-memory-only', test: longer },
  { id: 'rest-of-the-time-kept', test: longer },
  { id: 'transfer-keeps-the-token', test: simulator },
  { id: 'acknowledged-before-durable', test: simulator },
]

/** What only a world with time shows, and no other table has. */
const ofTime: readonly Bug[] = [
  {
    id: 'commit-taken-for-a-beat-walked',
    rules: ['P6', 'I21'],
    listed: 'B7',
    does: 'Whatever the store takes of an owner counts as a beat: it answers on, though the others only look at its record and declare it dead.',
    file: 'packages/server/src/shards/membership.ts',
    find: '    this.#options = options\n    this.#startedAt',
    replace: `    this.#options = options
    const commit = options.engine.commit.bind(options.engine)
    options.engine.commit = async request => {
      const result = await commit(request)
      if (result.ok && this.#lastBeat) this.#lastBeat = instant(options.clock)
      return result
    }
    this.#startedAt`,
    test: beats,
  },
  {
    id: 'impatient-observer-walked',
    rules: ['O10', 'P7', 'I21'],
    listed: 'B11',
    does: 'A server waits for half as long as the silent one has written: it takes over while that one still answers.',
    file: 'packages/server/src/shards/observer.ts',
    find: 'before.silentMs < memberTtlMs',
    replace: 'before.silentMs < memberTtlMs / 2',
    test: beats,
  },
  {
    id: 'death-by-observer-without-compare-walked',
    rules: ['P7', 'I21'],
    listed: 'B11',
    does: 'A server of the cluster is declared dead by whatever its record is by then: one that has just beaten is dead, and answers.',
    file: 'packages/server/src/shards/observer.ts',
    find: 'checks: [{ key: pair.key, modRevision: pair.modRevision }],',
    replace: 'checks: [],',
    test: beats,
  },
  {
    id: 'handed-over-while-answering-walked',
    rules: ['P11', 'I21'],
    does: 'A server names nobody as owner, and only then stops answering: the next one has begun, and it still renews.',
    file: 'packages/server/src/shards/shard.ts',
    find: '    this.#isLeaving = true\n    for (const arrival',
    replace: `    if (this.#working) await handOver(this.#options.ownership, this.#options.shard, this.#working.ownership)
    this.#isLeaving = true
    for (const arrival`,
    test: handingOver,
  },
]

const again: readonly Bug[] = found.map(({ id, test }) => {
  const bug = known.find(one => one.id === id)
  if (!bug) throw new Error(`there is no bug ${id}`)
  return { ...bug, id: `${id}-walked`, test }
})

export const walkedBugs: readonly Bug[] = [...again, ...ofTime]
