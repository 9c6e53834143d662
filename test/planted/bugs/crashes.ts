/** What only a power cut shows: told, or made, before the disk has it. */
import type { Bug } from '../bug.ts'

const lmdb = 'packages/server/src/engine/lmdb/lmdb.ts'
const test = {
  file: 'test/crash/crash.test.ts',
  name: 'wherever the power is cut, the store comes back with all that was answered for',
}

export const crashBugs: readonly Bug[] = [
  {
    id: 'answered-before-the-sync-at-a-power-cut',
    rules: ['I16', 'P2'],
    listed: 'B26',
    does: 'Answers leave while their batch is being written: a power cut takes back what was acknowledged.',
    file: 'packages/server/src/shards/shard.ts',
    find: 'await commitTurn({',
    replace: 'turn.leave(this.#options.push)\n      await commitTurn({',
    test,
  },
  {
    id: 'never-synced-at-a-power-cut',
    rules: ['I16', 'A1'],
    listed: 'B26',
    does: 'The store leaves syncing to the system.',
    file: lmdb,
    find: 'overlappingSync: false,',
    replace: 'overlappingSync: false,\n    noSync: true,',
    test,
  },
  {
    id: 'root-page-not-synced-at-a-power-cut',
    rules: ['I16', 'A1'],
    listed: 'B26',
    does: 'The page that says which state is the last is left to the system.',
    file: lmdb,
    find: 'overlappingSync: false,',
    replace: 'overlappingSync: false,\n    noMetaSync: true,',
    test,
  },
  {
    id: 'shown-before-its-sync-at-a-power-cut',
    rules: ['I16', 'A1'],
    listed: 'B26',
    does: 'The library shows a commit, and has it answered for, before it has synced it.',
    file: lmdb,
    find: 'overlappingSync: false,',
    replace: 'overlappingSync: true,',
    test,
  },
  {
    id: 'made-in-its-place-at-a-power-cut',
    rules: ['I16', 'A4'],
    does: 'A new data file has its name before its head is whole: when the power goes then, every later start dies of it.',
    file: lmdb,
    find: '  await nameWhole(path, create)\n',
    replace: '',
    test,
  },
]
