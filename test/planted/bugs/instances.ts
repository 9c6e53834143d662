/** What an instance may use, and what is counted of it. */
import type { Bug } from '../bug.ts'

const src = 'packages/server/src'
const quota = (name: string) => ({ file: `${src}/locks/quota.test.ts`, name })
const admission = (name: string) => ({ file: `${src}/shards/admission.test.ts`, name })
const meter = (name: string) => ({ file: `${src}/instances/meter.test.ts`, name })

export const instanceBugs: readonly Bug[] = [
  {
    id: 'one-lock-beyond-the-quota',
    rules: ['quota'],
    does: 'The limit itself is taken for what may be passed.',
    file: `${src}/locks/quota.ts`,
    find: 'return max !== null && count > max ?',
    replace: 'return max !== null && count > max + 1 ?',
    test: quota('the n-th lock is granted, the next is refused at once, and one that is given back makes room'),
  },
  {
    id: 'hand-over-without-a-quota',
    rules: ['quota'],
    does: 'Whoever has waited is granted whatever is held already.',
    file: `${src}/locks/quota.ts`,
    find: "return over('held_locks', state.grantCount + waiter.claims.length, quota.heldLocks)",
    replace: 'return null',
    test: quota('a lock is handed over at the limit; a waiter for whom there is no room is told when its turn comes'),
  },
  {
    id: 'stored-bytes-of-waiters-stay',
    rules: ['quota'],
    does: 'What a waiter brought is still counted when it has gone.',
    file: `${src}/locks/apply.ts`,
    find: '    state.storedBytes -= storedByWaiter(before)\n',
    replace: '',
    test: quota('what waits counts as much as what it will be granted, so that a hand-over stays within the limit'),
  },
  {
    id: 'releases-cost-operations',
    rules: ['quota'],
    does: 'A release is refused when the bucket is empty: an instance at its limit cannot give back.',
    file: `${src}/shards/admission.ts`,
    find: '  release: true,\n',
    replace: '',
    test: admission(
      'what keeps, gives back or confirms is never refused and takes nothing; a disabled instance can do no more than that',
    ),
  },
  {
    id: 'bucket-overflows',
    rules: ['quota'],
    does: 'A long silence is worth any number of operations.',
    file: `${src}/shards/admission.ts`,
    find: 'bucket.milli = Math.min(burst * MILLI, bucket.milli + (atMs - bucket.atMs) * perSecond)',
    replace: 'bucket.milli = bucket.milli + (atMs - bucket.atMs) * perSecond',
    test: admission('a burst of n passes and the next is refused, until as much has flowed in as it takes'),
  },
  {
    id: 'first-come-first-served-between-instances',
    rules: ['quota'],
    does: 'A turn takes all of one instance before it looks at the next.',
    file: `${src}/shards/lanes.ts`,
    find: 'const COMMANDS_PER_ROUND = 64',
    replace: 'const COMMANDS_PER_ROUND = 1e9',
    test: admission(
      'who asks much waits behind itself: others are served in each round, and within an instance the order stands',
    ),
  },
  {
    id: 'counted-without-a-cursor',
    rules: ['metering'],
    does: 'Counts are added whether or not somebody else has counted the same batches.',
    file: `${src}/instances/meter.ts`,
    find: 'const checks: Check[] = [{ key: keys.cursor, modRevision: cursor.revision }]',
    replace: 'const checks: Check[] = []',
    test: meter('two that count at once, and commits whose outcome is unknown, count each batch once'),
  },
]
