/** What an instance may use, and what is counted of it. */
import type { Bug } from '../bug.ts'

const src = 'packages/server/src'
const quota = (name: string) => ({ file: `${src}/locks/quota.test.ts`, name })
const admission = (name: string) => ({ file: `${src}/shards/admission.test.ts`, name })
const meter = (name: string) => ({ file: `${src}/instances/meter.test.ts`, name })

const exporter = (name: string) => ({ file: `${src}/instances/exporter.test.ts`, name })
const administration = (name: string) => ({ file: `${src}/http/administration/administration.test.ts`, name })
const lifecycle = (name: string) => ({ file: `${src}/administration/administration.test.ts`, name })

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
    find: 'const checks: Check[] = [{ key, modRevision: revision }, ...part.map(({ check }) => check)]',
    replace: 'const checks: Check[] = part.map(({ check }) => check)',
    test: meter('two that count at once, and commits whose outcome is unknown, count each batch once'),
  },
  {
    id: 'counted-from-the-first-part-again',
    rules: ['metering'],
    does: 'Whoever finishes what was counted in part adds the first part once more.',
    file: `${src}/instances/meter.ts`,
    find: 'const counted = cursor.ahead?.groups ?? 0',
    replace: 'const counted = 0',
    test: meter('what does not fit one commit is counted in parts: whoever finishes it, each batch once'),
  },
  {
    id: 'limits-given-to-oneself',
    rules: ['quota'],
    does: 'A tenant gives itself the limits it likes, and pays for the smallest size.',
    file: `${src}/http/administration/instances.ts`,
    find: '  if (call.body.overrides !== undefined) await refuseOverrides(call)\n',
    replace: '',
    test: administration(
      'limits of an instance’s own are the operator’s to give: its own people, whatever their role, cannot raise, lower or lift them',
    ),
  },
  {
    id: 'shed-by-another-plan',
    rules: ['quota'],
    does: 'A tenant sheds the limits that the operator has given by moving to another plan and back.',
    file: `${src}/administration/instances.ts`,
    find: '          ? before.overrides\n',
    replace: '          ? (plan.allowsOverrides ? before.overrides : {})\n',
    test: lifecycle('limits that the service has given stay on the record over a plan without them'),
  },
  {
    id: 'opened-by-whom-it-was-closed-to',
    rules: ['V6'],
    does: 'A tenant enables what the operator has disabled, and takes back what the operator has deleted.',
    file: `${src}/administration/lifecycle.ts`,
    find: "  if (side === 'service' || closerOf(record) !== 'service') return\n",
    replace: "  if (side === 'service' || closerOf(record) !== 'nobody') return\n",
    test: lifecycle(
      'whoever closed an instance opens it: what the service has disabled or deleted its own people neither open nor let go',
    ),
  },
  {
    id: 'closed-and-signed-by-the-other',
    rules: ['V6'],
    does: 'A tenant disables what the operator has disabled already, and may then enable it.',
    file: `${src}/administration/lifecycle.ts`,
    find: "disabledBy: closerOf(before) === 'service' ? 'service' : side",
    replace: 'disabledBy: side',
    test: lifecycle(
      'whoever closed an instance opens it: what the service has disabled or deleted its own people neither open nor let go',
    ),
  },
  {
    id: 'gone-with-its-last-hours',
    rules: ['metering'],
    does: 'What is submitted is what the instances that still exist were provided: who deletes it for good pays nothing for its last hour.',
    file: `${src}/instances/exporter.ts`,
    find: "const gone = registry.all('reclaimed')[Symbol.iterator]()",
    replace: 'const gone: Iterator<ReclaimedRecord> = [][Symbol.iterator]()',
    test: exporter(
      'what an instance was provided is submitted once though it is deleted for good within the hour, or its week ends',
    ),
  },
  {
    id: 'gone-without-remains',
    rules: ['metering'],
    does: 'Nothing stays of an instance that goes for good: its usage can be neither submitted nor asked for.',
    file: `${src}/administration/lifecycle.ts`,
    find: "{ kind: 'instance', id, value: null }, remainsOf(options, id)]",
    replace: "{ kind: 'instance', id, value: null }]",
    test: {
      file: `${src}/administration/lifecycle.test.ts`,
      name: 'in the commit in which an instance goes for good stays what it is metered by, and nothing else of it',
    },
  },
  {
    id: 'taken-back-half-gone',
    rules: ['V6'],
    does: 'An instance is restored while it is being reclaimed: the locks of its new holders are ended under them, and half of it is gone.',
    file: `${src}/administration/lifecycle.ts`,
    find: "    if (isGoing(before)) throw misfit('instance', 'It is being reclaimed: a part of it may be gone already.')\n",
    replace: '',
    test: {
      file: `${src}/administration/lifecycle.test.ts`,
      name: 'what has begun to go for good is not restored meanwhile, and is gone on with after a crash',
    },
  },
  {
    id: 'refused-and-dropped',
    rules: ['metering'],
    does: 'A record that the metering service refuses is forgotten.',
    file: `${src}/instances/submitting.ts`,
    find: 'writes: [own, ...(aside ? [aside] : [])],',
    replace: 'writes: [own],',
    test: exporter(
      'what is refused is said once, holds up no other, is kept, and tried again after RETRY_MS_FIRST, then less often, at least every RETRY_MS_MAX',
    ),
  },
  {
    id: 'the-service-bills-itself',
    rules: ['metering'],
    does: 'What the instance `default` is provided is submitted too.',
    file: `${src}/instances/unit-hours.ts`,
    find: ' && plan !== UNMETERED_PLAN',
    replace: '',
    test: exporter(
      'each closed hour of each instance is submitted once, by any number of servers, with what it was provided',
    ),
  },
  {
    id: 'made-twice',
    rules: ['metering'],
    does: 'The same create twice makes two instances of one name: both are billed, and neither is found by it.',
    file: `${src}/administration/instances.ts`,
    find: '    if (fields.uniqueName) refuseSameName(options, { name: fields.name, account })\n',
    replace: '',
    test: lifecycle(
      'who asks for a name that is unique in the account gets it or is refused; one that can be restored is one of them',
    ),
  },
  {
    id: 'history-shed-by-changes',
    rules: ['metering'],
    does: 'Many changes of size in a row wipe out what was provided before them: an hour of a large instance costs nothing.',
    file: `${src}/administration/instances.ts`,
    find: ' && (next[1]?.fromMs ?? nowMs) <= nowMs - HISTORY_KEPT_MS',
    replace: '',
    test: {
      file: `${src}/administration/lifecycle.test.ts`,
      name: 'HISTORY_MAX changes of size are remembered, the last place being for a deletion; what is younger than HISTORY_KEPT_MS is not forgotten',
    },
  },
]
