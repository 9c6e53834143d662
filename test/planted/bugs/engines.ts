/** The stores: what a commit is worth. */
import type { Bug } from '../bug.ts'

const engine = 'packages/server/src/engine'
const lmdb = `${engine}/lmdb/lmdb.ts`
const journal = `${engine}/lmdb/journal.ts`
const kernelLock = 'packages/server/src/process-lock/kernel-lock.ts'
const likeAMap = {
  file: `${engine}/lmdb/journal.test.ts`,
  name: 'a full journal goes to LMDB, and the store is at all times what a map would be, also when it is opened anew',
}
const alone = {
  file: `${engine}/lmdb/holder.test.ts`,
  name: 'one process has the store, until it ends however it ends',
}
const conformance = (name: string) => ({ file: `${engine}/lmdb/lmdb.test.ts`, name: `engine lmdb ${name}`.trim() })
const synced = {
  file: `${engine}/lmdb/syncing.test.ts`,
  name: 'no commit is acknowledged before the disk has been told to keep it',
}

export const engineBugs: readonly Bug[] = [
  {
    id: 'never-synced',
    rules: ['I16', 'A1'],
    listed: 'B26',
    does: 'The journal is left to the system to be synced: a power cut takes back what was acknowledged.',
    file: journal,
    find: '(isSyncedByWriting ? constants.O_DSYNC : 0)',
    replace: '0',
    test: synced,
  },
  {
    id: 'acknowledged-while-being-written',
    rules: ['I16', 'A1', 'P2'],
    listed: 'B26',
    does: 'A commit is acknowledged when it has been handed to the writer.',
    file: journal,
    find: 'await this.#write(handle.fd, length)',
    replace: 'void this.#write(handle.fd, length)',
    test: synced,
  },
  {
    id: 'checks-ignored',
    rules: ['A1', 'I19'],
    does: 'A commit writes whatever its checks find.',
    file: lmdb,
    find: 'if (!passes) return { ok: false, revision, found: checks.map(({ key }) => this.#pair(key, staged)) }',
    replace: '',
    test: conformance('absence is a check that fails once the key is there'),
  },
  {
    id: 'judged-without-those-before',
    rules: ['A1', 'I19'],
    does: 'Of commits that are written together each is checked on what was before all of them: two pass under one check.',
    file: lmdb,
    find: 'if (group.length > 1) this.#apply(staged, writes, revision)',
    replace: '',
    test: likeAMap,
  },
  {
    id: 'two-processes-at-once',
    rules: ['O12', 'A1', 'I19'],
    does: 'A second process opens a store that another has: each acknowledges what the other does not know.',
    file: kernelLock,
    find: 'BEGIN EXCLUSIVE',
    replace: 'BEGIN',
    test: alone,
  },
  {
    id: 'lock-let-go-while-its-process-lives',
    rules: ['O12', 'A1'],
    does: 'The lock of a store goes when nothing in its process refers to it any more, though the process lives.',
    file: kernelLock,
    find: '    locks.add(lock)\n',
    replace: '',
    test: alone,
  },
  {
    id: 'deleted-key-comes-back',
    rules: ['A1', 'I22'],
    does: 'A key is deleted in memory, and LMDB, which has it, is not told.',
    file: `${engine}/lmdb/overlay.ts`,
    find: 'if (isBelow) this.#held.set(key, null)\n    else ',
    replace: '',
    test: likeAMap,
  },
  {
    id: 'range-one-too-many',
    rules: ['A1', 'I22'],
    does: 'The deletion of a range takes the key at its end too: the oldest batch that is still needed.',
    file: `${engine}/lmdb/overlay.ts`,
    find: 'key => key >= from && key < to',
    replace: 'key => key >= from && key <= to',
    test: conformance('a range is deleted from its first key up to, not including, its last'),
  },
  {
    id: 'page-without-its-last',
    rules: ['A1', 'I20'],
    does: 'A listing in pages loses a key between two of them: a recovery finds a gap, or no lock.',
    file: lmdb,
    find: '    const revision = this.#revision\n    for (const { value } of pairs)',
    replace:
      '    if (pairs.length > 1) pairs.pop()\n    const revision = this.#revision\n    for (const { value } of pairs)',
    // The suite as a whole: this test reads what the one before it has written.
    test: conformance(''),
  },
  {
    id: 'goes-on-after-a-failed-write',
    rules: ['A4', 'I16'],
    does: 'After a write has failed the next one is tried: what lies between them on the disk nobody knows.',
    file: lmdb,
    find: 'this.#fatal ??= new EngineFatal(',
    replace: 'return new EngineFatal(',
    test: {
      file: `${engine}/lmdb/lmdb.test.ts`,
      name: 'a write that fails is the last: no retry, no unhandled rejection',
    },
  },
  {
    id: 'keys-dropped-that-just-came',
    rules: ['A1'],
    does: 'Old keys are dropped whether or not another rotation has come since it was seen that nothing is left under them: what was sealed meanwhile is lost.',
    file: `${engine}/sealed/rotation.ts`,
    find: 'checks: [{ key: places.current, modRevision: fence }],',
    replace: 'checks: [],',
    test: {
      file: `${engine}/sealed/seals.test.ts`,
      name: 'a key that came while others were being dropped is not dropped with them: what it seals still opens',
    },
  },
]
