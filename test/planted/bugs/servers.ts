/** Many servers: who asks whom, who is given what, what a full store and a restored one may do. */
import type { Bug } from '../bug.ts'

const assignment = 'packages/server/src/shards/assignment.ts'
const link = 'packages/server/src/routing/link.ts'
const repeat = 'packages/server/src/shards/repeat.ts'
const sockets = 'packages/server/src/routing/sockets.ts'
const storage = 'packages/server/src/shards/storage.ts'
const restoring = 'packages/server/src/shards/restoring.ts'
const assignmentTest = 'packages/server/src/shards/assignment.test.ts'
const keptOpenTest = 'packages/server/src/routing/kept-open.test.ts'
const routingTest = 'packages/server/src/routing/routing.test.ts'
const socketsTest = 'packages/server/src/routing/sockets.test.ts'
const storageTest = 'packages/server/src/shards/storage.test.ts'
const restoringTest = 'packages/server/src/shards/restoring.test.ts'

const unreachable =
  'whom more than half of all servers cannot reach is given nothing; half is not enough, and if it is so of all it is so of none'

export const serverBugs: readonly Bug[] = [
  {
    id: 'complaints-unheard',
    rules: ['O13'],
    does: 'A server that beats and that nobody can reach keeps its shards from everybody.',
    file: assignment,
    find: 'const reachable = staying.filter(server => (complaints.get(server) ?? 0) <= members.size / 2)',
    replace: 'const reachable = staying',
    test: { file: assignmentTest, name: unreachable },
  },
  {
    id: 'one-complaint-is-enough',
    rules: ['O13'],
    does: 'One server that is itself cut off takes the shards from all others by complaining.',
    file: assignment,
    find: '(complaints.get(server) ?? 0) <= members.size / 2',
    replace: '(complaints.get(server) ?? 0) < 1',
    test: { file: assignmentTest, name: unreachable },
  },
  {
    id: 'complaint-never-made',
    rules: ['O13'],
    does: 'A connection that was made once is never found to be down.',
    file: link,
    find: 'this.#downSinceMs ??= this.#clock.hrtimeMs()',
    replace: '',
    test: {
      file: routingTest,
      name: 'a server that beats and that no other can reach loses its shards to them, and gets its share again when it can be reached',
    },
  },
  {
    id: 'newer-command-decided',
    rules: ['O17'],
    does: 'A server decides whatever another asks: a command of a newer version, which it has never heard of, ends its process, and then that of the next owner.',
    file: 'packages/server/src/routing/known.ts',
    find: " && (asked.type !== 'ask' || knownCommands.has(asked.command.type))",
    replace: '',
    test: {
      file: routingTest,
      name: 'what a newer server asks and an older one does not know is refused, and nothing ends of it',
    },
  },
  {
    id: 'forwarded-twice',
    rules: ['P15'],
    does: 'What was sent to an owner that died is asked of the next one, though nobody remembers it by an id.',
    file: repeat,
    find: "    case 'acquire':\n      return command.request !== null || (typeof command.session === 'object' && command.session.key !== null)",
    replace: "    case 'acquire':\n      return true",
    test: { file: routingTest, name: 'what has no request id is asked again only if it surely was not taken' },
  },
  {
    id: 'forced-end-asked-again',
    rules: ['P15', 'I6'],
    does: 'A forced end whose answer was lost is asked for again: it ends the grant of the next in line.',
    file: 'packages/server/src/shards/repeat.ts',
    find: "    case 'evict':\n      return true\n",
    replace: "    case 'evict':\n    case 'force_release':\n      return true\n",
    test: {
      file: routingTest,
      name: 'a forced end whose answer was lost is not asked for again: it would end the grant of the next in line',
    },
  },
  {
    id: 'sent-taken-for-unsent',
    rules: ['P15'],
    does: 'What was sent over a connection that broke is said to have surely not been taken.',
    file: link,
    find: 'unsent.has(id) ? new NotTaken() : unknownOutcome()',
    replace: 'new NotTaken()',
    test: {
      file: socketsTest,
      name: 'what was sent over a connection that broke is unknown; the other side lets go of what was begun',
    },
  },
  {
    id: 'watch-begins-anew',
    rules: ['I13'],
    does: 'A watch that moves to the next owner goes on from there instead of from its last event.',
    file: 'packages/server/src/routing/watching.ts',
    find: 'this.#cursor = event.id',
    replace: '',
    test: { file: keptOpenTest, name: 'a watch goes on over a change of owner, with every event once' },
  },
  {
    id: 'any-server-believed',
    rules: ['P5'],
    does: 'Whoever connects is taken for a server of the cluster, whatever they prove.',
    file: sockets,
    find: "if (!isSame(proof, proofOf(this.#key, 'dial', [nonce, theirs, server, here.server]))) return transport.close()",
    replace: '',
    test: {
      file: socketsTest,
      name: 'whoever does not prove to know the key of the cluster is cut off, and asks nothing',
    },
  },
  {
    id: 'full-store-goes-on',
    rules: ['O15'],
    does: 'Acquires go on until the store refuses everything, releases and beats included.',
    file: storage,
    find: 'this.#isFull = share >= (wasFull ? ROOM_SHARE : FULL_SHARE)',
    replace: 'this.#isFull = share >= 1',
    test: {
      file: storageTest,
      name: 'when the store is nearly full, what would grow it is refused; what is held, its renewals and its releases go on',
    },
  },
  {
    id: 'places-left-behind',
    rules: ['I8'],
    does: 'An owner that leaves in good order leaves places in line behind that nobody can ask for: each is granted to nobody, and holds the lock for a TTL.',
    file: 'packages/server/src/shards/shard.ts',
    find: '    if (this.#working) await moveOn(',
    replace: '    if (this.#isClosing && this.#working) await moveOn(',
    test: {
      file: 'packages/server/src/routing/kept-open.test.ts',
      name: 'who waits over REST without a key joins the line of the next owner, and leaves no place behind that is nobody’s',
    },
  },
  {
    id: 'looking-without-a-pause',
    rules: ['I17'],
    does: 'While nobody decides for a shard, one command that waits for it makes its server read the store thousands of times a second.',
    file: 'packages/server/src/routing/router.ts',
    find: 'const isSame = parked.peer === this.peerOf(routed.shard)',
    replace: 'const isSame = parked.peer !== null && parked.peer === this.peerOf(routed.shard)',
    test: {
      file: 'packages/server/src/routing/limits.test.ts',
      name: 'while nobody decides, whoever looks for an owner looks now and then, however often nothing has changed',
    },
  },
  {
    id: 'long-waits-given-up',
    rules: ['I8'],
    does: 'Who has stood in line for longer than an owner is looked for is given up at a change of owner.',
    file: 'packages/server/src/routing/ask.ts',
    find: '    if (this.isQueued) this.#leftLine()',
    replace: '',
    test: {
      file: 'packages/server/src/routing/kept-open.test.ts',
      name: 'a wait that has been in line for longer than an owner is looked for goes on at the next',
    },
  },
  {
    id: 'listened-once',
    rules: ['P14'],
    does: 'After a connection between two servers has broken, what concerns the sessions that were heard over it is told to nobody.',
    file: 'packages/server/src/routing/link.ts',
    find: "if (open.kind === 'listen' && !this.#isCut) {",
    replace: "if (open.kind === 'listen' && this.#isCut) {",
    test: {
      file: 'packages/server/src/routing/kept-open.test.ts',
      name: 'a session whose owner is reached over a new connection is heard over that',
    },
  },
  {
    id: 'frames-without-end',
    rules: ['I17'],
    does: 'Long answers to another server go into one frame, however long they are together: it cannot be made or is not taken, and the server ends.',
    file: 'packages/server/src/routing/messages.ts',
    find: ' || this.#units >= FRAME_UNITS_MAX',
    replace: '',
    test: {
      file: 'packages/server/src/routing/limits.test.ts',
      name: 'between two servers a frame has so many messages, and is not much longer than FRAME_UNITS_MAX',
    },
  },
  {
    id: 'quiet-watches-reset',
    rules: ['I13'],
    does: 'At each change of owner, watches of what nothing happens to are told that they may have missed something.',
    file: 'packages/server/src/routing/watching.ts',
    find: '    if (cursor !== undefined && this.#hasBegun) this.#cursor = cursor',
    replace: '',
    test: {
      file: 'packages/server/src/routing/kept-open.test.ts',
      name: 'a watch of what nothing happens to is told of no gap when an owner leaves in good order, whatever happened beside it',
    },
  },
  {
    id: 'pages-without-end',
    rules: ['I17'],
    does: 'A page of locks is as long as what is stored in them.',
    file: 'packages/server/src/locks/views.ts',
    find: '    if (units > PAGE_UNITS_MAX && views.length > 0) break',
    replace: '',
    test: {
      file: 'packages/server/src/locks/limits.test.ts',
      name: 'a page of locks ends at PAGE_UNITS_MAX, with one lock at least, and all pages together are all locks',
    },
  },
  {
    id: 'restore-keeps-waits',
    rules: ['I8'],
    does: 'A wait of the backup whose client has been served since is granted a lock that nobody knows of.',
    file: restoring,
    find: 'const waits = [...state.sessions.values()].flatMap(session => [...session.waits])',
    replace: 'const waits = []',
    test: {
      file: restoringTest,
      name: 'waits of the backup are over: who was served since would hold a lock of which nobody knows',
    },
  },
  {
    id: 'restore-keeps-epoch',
    rules: ['O4', 'I2'],
    does: 'A restored store goes on with the epochs of the backup: tokens come twice.',
    file: restoring,
    find: 'highest + EPOCHS_SKIPPED',
    replace: 'highest',
    test: {
      file: restoringTest,
      name: 'tokens after a restore are larger than all that can have been given out since the backup',
    },
  },
  {
    id: 'restore-does-not-wait',
    rules: ['O4'],
    does: 'Locks are granted at once after a restore, while holders that the backup knows nothing of still believe.',
    file: restoring,
    find: 'untilAt: Math.max(untilAt, before?.untilAt ?? 0),',
    replace: 'untilAt: 0,',
    test: {
      file: restoringTest,
      name: 'nothing is granted until the longest TTL of the backup has passed, and then by itself',
    },
  },
  {
    id: 'restore-forgets-tenants',
    rules: ['O4'],
    does: 'Only instances that had a lock in the backup wait after a restore.',
    file: restoring,
    find: 'const instances = [SERVICE_INSTANCE, ...(await registered(engine, keys))]',
    replace: 'const instances = [SERVICE_INSTANCE]',
    test: {
      file: restoringTest,
      name: 'an instance that had no lock when the backup was made waits too: it may have had some since',
    },
  },
  {
    id: 'new-cluster-in-the-old-store',
    rules: ['O4', 'I2'],
    does: 'Members that have lost their data begin anew, and servers go on over the empty store: tokens come twice.',
    file: 'packages/server/src/assembly/remembered-store.ts',
    find: '(known.cluster !== now.cluster && known.store !== now.store)',
    replace: 'known.cluster !== now.cluster',
    test: {
      file: 'packages/server/src/assembly/remembered-store.test.ts',
      name: 'a store that has gone back, or is another with the same cluster in it, is refused at the next start',
    },
  },
]
