/** What a restart, a reading anew or a supervisor gets over: whole runs of the simulator have to see it, for afterwards everything is as it should be. */
import type { Bug, TestOf } from '../bug.ts'
import { ownershipBugs } from './ownership.ts'
import { shardBugs } from './shards.ts'
import { walkedBugs } from './walked.ts'

const simulator: TestOf = {
  file: 'test/simulator/simulator.test.ts',
  name: 'whatever befalls servers, clients and store, every seed keeps the rules',
  env: { TEST_SEED: '1', TEST_RUNS: '24' },
}
/** An owner whose time is over, and who is asked for nothing that has to be written. */
const later: TestOf = { ...simulator, env: { TEST_SEED: '14', TEST_RUNS: '24' } }

/** Seen in what servers promise, which nobody need have been told. */
const ofPromises: readonly { id: string; test: TestOf }[] = [
  { id: 'blind-beat', test: simulator },
  { id: 'commit-taken-for-a-beat-walked', test: simulator },
  { id: 'impatient-observer-walked', test: simulator },
  { id: 'deadline-from-the-reply', test: later },
  { id: 'no-deadline', test: later },
  { id: 'suspension-not-seen', test: later },
  { id: 'read-without-trust', test: later },
  { id: 'append-extends-the-deadline', test: later },
]

const again: readonly Bug[] = ofPromises.map(({ id, test }) => {
  const bug = [...ownershipBugs, ...shardBugs, ...walkedBugs].find(one => one.id === id)
  if (!bug) throw new Error(`there is no bug ${id}`)
  return { ...bug, id: `${id.replace('-walked', '')}-simulated`, test }
})

const room: TestOf = {
  file: 'test/simulator/simulator.test.ts',
  name: 'a store that fills up takes what grows nothing while it can, and goes on when it has room',
}

export const simulatedBugs: readonly Bug[] = [
  ...again,
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
    id: 'sessions-end-late',
    rules: ['I9'],
    does: 'A session that nobody renews is looked at long after its promise is over: who waits for what it held waits for nothing.',
    file: 'packages/server/src/shards/timers.ts',
    find: '    this.#sessions.add(session.deadlineMs, session)\n',
    replace: '    this.#sessions.add(session.deadlineMs + 5_000, session)\n',
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
    id: 'reader-refused-beside-readers',
    rules: ['I12'],
    does: 'Whoever tries to read without waiting is refused while anybody else does, though nobody is in line.',
    file: 'packages/server/src/locks/acquire.ts',
    find: '  if (canGrantAtOnce(draft.state, command.claims, rank)) {\n',
    replace: `  const [tried] = command.waitMs === 0 ? command.claims : []
  const isRead = tried?.mode === 'shared' && (draft.state.locks.get(tried.lock)?.grants.length ?? 0) > 0
  if (!isRead && canGrantAtOnce(draft.state, command.claims, rank)) {
`,
    test: simulator,
  },
  {
    id: 'permit-confirmed-for-another',
    rules: ['I12'],
    does: 'Whoever asks with a token of the past whether it still has its permits is told so as long as anybody else has some.',
    file: 'packages/server/src/locks/holding.ts',
    find: `  const grant = grantOf(draft.state.locks.get(command.lock), command.token)
  return grant
`,
    replace: `  const lock = draft.state.locks.get(command.lock)
  const grant = grantOf(lock, command.token) ?? lock?.grants.find(({ mode }) => mode === 'permits')
  return grant
`,
    test: simulator,
  },
  {
    id: 'set-refused-for-a-lock-behind-it',
    rules: ['I12'],
    does: 'A set is refused to whoever does not wait, though all of it is free, when somebody holds any lock whose name begins like one of its own.',
    file: 'packages/server/src/locks/acquire.ts',
    find: '  if (canGrantAtOnce(draft.state, command.claims, rank)) {\n',
    replace: `  const [first, second] = command.waitMs === 0 ? command.claims : []
  const isNear = second !== undefined && [...draft.state.locks.values()].some(({ name, grants }) => grants.length > 0 && name.startsWith(first?.lock ?? ''))
  if (!isNear && canGrantAtOnce(draft.state, command.claims, rank)) {
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
  {
    id: 'release-refused-for-want-of-room',
    rules: ['I18', 'O15'],
    does: 'Where little room is left in the store, releases are refused too: it is never freed by those who would.',
    file: 'packages/server/src/locks/release.ts',
    find: `  if (!session) return lostWithSession(draft, command)
  draft.touches = command.session
`,
    replace: `  if (!session) return lostWithSession(draft, command)
  if (draft.isStorageFull) return { ok: false, code: 'storage_full' }
  draft.touches = command.session
`,
    test: room,
  },
  {
    id: 'answered-though-there-was-no-room',
    rules: ['I5', 'P2'],
    does: 'A batch that the store has refused for want of room is answered as if it had been written: what was acknowledged is nowhere.',
    file: 'packages/server/src/shards/log.ts',
    find: 'const known = await written\n',
    replace: 'const known = await written.catch(() => ({ ok: true as const, revision: this.#end.revision + 1 }))\n',
    test: room,
  },
]
