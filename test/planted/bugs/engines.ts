/** The stores: what a commit is worth. */
import type { Bug } from '../bug.ts'

const engine = 'packages/server/src/engine'
const lmdb = `${engine}/lmdb/lmdb.ts`
const conformance = (name: string) => ({ file: `${engine}/lmdb/lmdb.test.ts`, name: `engine lmdb ${name}`.trim() })
const synced = {
  file: `${engine}/lmdb/syncing.test.ts`,
  name: 'no commit is acknowledged before the disk has been told to keep it',
}

export const engineBugs: readonly Bug[] = [
  {
    id: 'never-synced',
    rules: ['I16', 'A1', 'O12'],
    listed: 'B26',
    does: 'The store is told to leave syncing to the system: a power cut takes back what was acknowledged.',
    file: lmdb,
    find: 'overlappingSync: false,',
    replace: 'overlappingSync: false,\n    noSync: true,',
    test: synced,
  },
  {
    id: 'root-page-not-synced',
    rules: ['I16', 'A1'],
    listed: 'B26',
    does: 'The page that says which state is the last is left to the system: a power cut takes back the last commits.',
    file: lmdb,
    find: 'overlappingSync: false,',
    replace: 'overlappingSync: false,\n    noMetaSync: true,',
    test: synced,
  },
  {
    id: 'acknowledged-while-being-written',
    rules: ['I16', 'A1', 'P2'],
    listed: 'B26',
    does: 'A commit is acknowledged when it has been handed to the writer.',
    file: lmdb,
    find: 'if (await this.#writeAt(revision, request.writes)) {',
    replace: 'if (this.#writeAt(revision, request.writes)) {',
    test: synced,
  },
  {
    id: 'checks-ignored',
    rules: ['A1', 'I19'],
    does: 'A commit writes whatever its checks find.',
    file: lmdb,
    find: 'if (!passes) return { ok: false, revision, found }',
    replace: '',
    test: conformance('absence is a check that fails once the key is there'),
  },
  {
    id: 'checked-and-not-held',
    rules: ['A1', 'I19', 'O12'],
    does: 'Between the check and the write another process may write: both pass.',
    file: lmdb,
    find: 'return await database.ifVersion(counterKey, revision, () => {',
    replace: 'return await database.ifNoExists(Buffer.from([9]), () => {',
    test: {
      file: `${engine}/lmdb/two-writers.test.ts`,
      name: 'of commits that two processes make under one check exactly one passes',
    },
  },
  {
    id: 'range-one-too-many',
    rules: ['A1', 'I22'],
    does: 'The deletion of a range takes the key at its end too: the oldest batch that is still needed.',
    file: lmdb,
    find: 'end: encodeKey(range.to)',
    replace: 'end: encodeKey(range.to + String.fromCharCode(0))',
    test: conformance('a range is deleted from its first key up to, not including, its last'),
  },
  {
    id: 'page-without-its-last',
    rules: ['A1', 'I20'],
    does: 'A listing in pages loses a key between two of them: a recovery finds a gap, or no lock.',
    file: lmdb,
    find: '    if (more) pairs.pop()\n',
    replace: '    if (pairs.length > 1) pairs.pop()\n',
    // The suite as a whole: this test reads what the one before it has written.
    test: conformance(''),
  },
  {
    id: 'goes-on-after-a-failed-write',
    rules: ['A4', 'I16'],
    does: 'After a write has failed the next one is tried: what lies between them on the disk nobody knows.',
    file: lmdb,
    find: 'if (this.#fatal) throw this.#fatal\n',
    replace: '',
    test: {
      file: `${engine}/lmdb/lmdb.test.ts`,
      name: 'a write that fails is the last: no retry, no unhandled rejection',
    },
  },
]
