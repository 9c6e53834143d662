/** Stores that are slow, clients that have gone, and answers that were on their way for long. */
import type { Bug } from '../bug.ts'

const server = 'packages/server/src'
const client = 'packages/client/src'
const trustTest = `${client}/trust.test.ts`

export const lateBugs: readonly Bug[] = [
  {
    id: 'entry-knows-less-than-its-holder',
    rules: ['P16', 'P14', 'S2'],
    does: 'The answer to an entry that was on its way for long puts back the end of the grant, which has been moved nearer since, and acknowledged: the next holder has the lock at that end.',
    file: `${client}/ledger.ts`,
    find: 'if (this.isOutdated(arrival)) return holding',
    replace: '',
    test: {
      file: trustTest,
      name: 'an answer that was on its way for long takes nothing back of what has been heard since, and acknowledged',
    },
  },
  {
    id: 'older-list-believed',
    rules: ['P16', 'S2'],
    does: 'A list of grants that was on its way for long is taken over after a newer one.',
    file: `${client}/renewal.ts`,
    find: 'if (grants && (ledger.isOutdated({ changes }) || (reply.epoch ?? this.#epoch) < this.#epoch)) {',
    replace: 'if (grants && this.#epoch < 0) {',
    test: {
      file: trustTest,
      name: 'a list that was on its way for long takes nothing back either, and is nobody’s list',
    },
  },
  {
    id: 'granted-to-nobody-lives-on',
    rules: ['I9'],
    does: 'What is granted to a client that has died gives its session another TTL: with many waits it keeps what it holds for minutes.',
    file: `${server}/shards/turn.ts`,
    find: 'const isHeard = callers.some(({ isDetached }) => !isDetached)',
    replace: 'const isHeard = true',
    test: {
      file: `${server}/shards/timers.test.ts`,
      name: 'a session does not live on by what is granted to it when nobody is there to hear of it',
    },
  },
  {
    id: 'due-before-it-was-handled',
    rules: ['O9', 'I9'],
    does: 'Whose renewal has been received and waits for its turn is expired before it is handled.',
    file: `${server}/shards/shard.ts`,
    find: 'clock.afterPoll(() => inTurn(() => this.#expire()))',
    replace: 'clock.afterPoll(() => this.#expire())',
    test: {
      file: `${server}/shards/timers.test.ts`,
      name: 'what time makes due comes after what was received before, however long that waits for its turn',
    },
  },
  {
    id: 'reads-wait-for-ever',
    rules: ['I8'],
    does: 'Where a beat takes longer than it is good for, who reads waits for one that will do, and all that is to be written waits behind.',
    file: `${server}/shards/membership.ts`,
    find: 'beats < CONFIRMING_BEATS_MAX && !this.#isOver; beats++',
    replace: '!this.#isOver; beats++',
    test: {
      file: `${server}/shards/membership.test.ts`,
      name: 'where a beat takes longer than it is good for, what needs one is refused, and what is to be written goes on',
    },
  },
  {
    id: 'waits-at-a-silent-member',
    rules: ['I8'],
    does: 'A call waits at a member of etcd that answers nothing for as long as calls are waited for, though others answer: a server misses its beats by it.',
    file: `${server}/engine/etcd/channel.ts`,
    find: 'slow?.(() => giveUp(this.#slow()))',
    replace: 'slow?.(() => undefined)',
    test: {
      file: `${server}/engine/etcd/members.test.ts`,
      name: 'what waits at a member that answers nothing is given up as soon as others answer, however long it may take; what only that member can say is waited for',
    },
  },
  {
    id: 'epochs-not-remembered',
    rules: ['O4', 'I2'],
    does: 'A store that somebody has put back with the tool of etcd, its revisions going on, is taken for the one that was left: the next owner counts from the same epoch, and gives the same tokens.',
    file: `${server}/assembly/remembered-store.ts`,
    find: 'if (shard !== -1) {',
    replace: 'if (shard === -2) {',
    test: {
      file: `${server}/assembly/remembered-store.test.ts`,
      name: 'a store that has gone back, or is another with the same cluster in it, is refused at the next start',
    },
  },
  {
    id: 'run-counts-while-awake',
    rules: ['I9', 'I1'],
    does: '`holdfast run` counts what is left of a promise by a clock that stands still while the machine sleeps: what runs under a lock that was ended by others goes on when it wakes.',
    file: 'packages/cli/src/clock.ts',
    find: 'return Math.min(monotonic - performance.now(), bootMs - os.uptime() * 1_000)',
    replace: 'return monotonic - performance.now() + 0 * bootMs',
    test: {
      file: 'packages/cli/src/clock.test.ts',
      name: 'a promise ends by the clock that says more has passed: a machine that sleeps has one that stands still',
    },
  },
]
