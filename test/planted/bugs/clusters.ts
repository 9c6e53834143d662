/** A cluster of its own: backups that are lost or not made, operations that get in each other's way, certificates that let nobody in. */
import type { Bug } from '../bug.ts'

const backup = 'packages/server/src/cluster/backup.ts'
const backupTest = 'packages/server/src/cluster/backup.test.ts'

export const clusterBugs: readonly Bug[] = [
  {
    id: 'backup-dropped-as-it-is-made',
    rules: ['backups'],
    does: 'Backups that were made while the clock was ahead count as the newest: each one that is made after them is dropped at once, and reported as made.',
    file: backup,
    find: 'const oldestFirst = [...ahead, ...names.filter(name => name <= now).sort()]',
    replace: 'const oldestFirst = [...names.filter(name => name <= now).sort(), ...ahead]',
    test: {
      file: backupTest,
      name: 'the backup that has just been made stays, and those of a clock that was ahead are the oldest',
    },
  },
  {
    id: 'backup-failed-by-an-old-one',
    rules: ['backups'],
    does: 'That an old backup cannot be removed counts as a failure of the new one: one is made each minute, without end.',
    file: backup,
    find: '    return false\n',
    replace: '    throw error\n',
    test: {
      file: backupTest,
      name: 'an old backup that cannot be removed is told, and no reason to call the new one a failure',
    },
  },
  {
    id: 'renewed-from-now-on',
    rules: ['certificates'],
    does: 'What is renewed while the clock is ahead is not valid yet: nobody lets its machine in, and once the clock is right nobody can get in at all.',
    file: 'packages/server/src/cluster/identities.ts',
    find: '({ since: validFrom })',
    replace: '({ since: validFrom + 10 * 365 * 86_400_000 })',
    test: {
      file: 'packages/server/src/cluster/validity.test.ts',
      name: 'what is renewed by a clock that is ahead is valid by one that is right',
    },
  },
  {
    id: 'two-operations-at-once',
    rules: ['members'],
    does: 'Whose turn it is nobody holds: after an operation that was killed two are at work at once, and each takes the member away that the other counts on.',
    file: 'packages/server/src/cluster/operation.ts',
    find: '    lock = KernelLock.take(path)\n',
    replace: '    KernelLock.take(path)?.release()\n    lock = KernelLock.take(path + performance.now())\n',
    test: {
      file: 'packages/server/src/cluster/operation.test.ts',
      name: 'a mark of somebody who is gone never leads two to work at once, whoever has read it when',
    },
  },
]
