/** `/v2`: the trail of what was done, by whom, to what; and whether it is still what was written. */
import { Type } from 'typebox'
import { eventTypes } from './events.ts'
import { operation } from './operation.ts'
import * as s from './schemas.ts'

const text = (description: string) => Type.String({ maxLength: 1_024, description })
const outcome = Type.Enum(['success', 'denied', 'failure'], { description: 'What came of it.' })

/** What the trail tells of, beside that it was done. */
const changedKinds = [
  'instance',
  'reclaimed',
  'plan',
  'credential',
  'role',
  'policy',
  'signer',
  'lock',
  'freeze',
] as const

const changed = Type.Array(
  s.closed({
    kind: Type.Enum([...changedKinds], { description: '`reclaimed`: what is kept of an instance, for bills.' }),
    id: text('Which one; of a freeze the prefix.'),
    value: s.optional(
      Type.Record(Type.String(), Type.Unknown(), {
        description: 'As it is from then on, without anything that is secret. What is null is left out.',
      }),
    ),
    is_removed: s.optional(Type.Literal(true, { description: 'It is there no longer.' })),
    is_left_out: s.optional(Type.Literal(true, { description: 'It is too large to be told here.' })),
  }),
  { description: 'What was written by it: keys, roles, policies, plans, instances; configurations and freezes.' },
)

/** One record. Fields that do not apply are left out. */
export const auditRecord = s.closed({
  id: s.cursor,
  at: s.timestamp,
  action: text('What was done: `lock.acquire`, `lock.expire`, `credential.create`, …'),
  outcome,
  subject: text('Whose credential did it; `service`: time did.'),
  affected: s.optional(text('Whose session it befell, when that is somebody else’s.')),
  session: s.optional(text('The session.')),
  holder: s.optional(text('What the holder calls itself.')),
  from: s.optional(text('Address it came from.')),
  target: text('What it was done to: `lock/orders`, `prefix/payments/`, `session/s-1`, `credential/k-1`, …'),
  instance: s.optional(text('Left out: it concerns no one instance.')),
  event: s.optional(Type.Enum([...eventTypes], { description: 'What watchers were told, under the same id.' })),
  mode: s.optional(s.mode),
  token: s.optional(s.count),
  ticket: s.optional(s.count),
  reason: s.optional(text('Why.')),
  status: s.optional(Type.Integer({ minimum: 0, maximum: 599, description: 'HTTP status that it was answered with.' })),
  request_id: s.optional(text('`X-Request-ID` of the request, or the client’s own id of it.')),
  changed: s.optional(changed),
  link: text('Hash of the batch or link that says so: part of the chain.'),
})

const chain = Type.String({
  minLength: 1,
  maxLength: 32,
  pattern: '^(shard [0-9]+|trail)$',
  description: 'Which chain.',
})
const head = s.closed({
  chain,
  seq: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  hash: Type.String({ minLength: 1, maxLength: 64, pattern: '^[A-Za-z0-9_-]+$' }),
})

const queryAudit = operation({
  id: 'queryAudit',
  version: 'v2',
  tag: 'Audit',
  method: 'GET',
  path: '/v2/audit',
  action: 'audit.read',
  reachesGone: true,
  summary: 'What was done in the instance, by whom, to what, and what came of it',
  description:
    'Lock changes and administration in one trail. It has no index: a page looks through a part of it, so it may have fewer records than asked for, or none, and still a `next`. The root key reads that of an instance that is gone, too, for as long as it is kept.',
  errors: [],
  params: s.noFields,
  query: s.closed({
    lock: s.optional(s.lockName),
    lock_prefix: s.optional(s.lockPrefix),
    subject: s.optional(
      Type.String({
        minLength: 1,
        maxLength: 512,
        pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f\\ud800-\\udfff]*$',
        description: 'Who did it, or whose session it befell.',
      }),
    ),
    action: s.optional(
      Type.String({ minLength: 1, maxLength: 64, pattern: '^[a-z.-]+$', description: 'Like `lock.acquire`.' }),
    ),
    outcome: s.optional(outcome),
    since: s.optional(s.givenTime),
    until: s.optional(s.givenTime),
    order: s.optional(Type.Enum(['newest', 'oldest'], { description: 'The newest first if nothing is said.' })),
    limit: s.optional(s.pageLimitQuery),
    start: s.optional(s.pageStart),
  }),
  body: null,
  replies: {
    200: {
      description: 'A page of records.',
      body: s.closed({
        records: Type.Array(auditRecord),
        instances: Type.Array(s.closed({ id: Type.String(), crn: Type.String() }), {
          description: 'The cloud resource names of the instances that the records are of, as far as they are known.',
        }),
        limit: s.pageLimit,
        first: s.pageLink,
        next: s.optional(s.nextLink),
      }),
    },
  },
})

const showAuditHeads = operation({
  id: 'showAuditHeads',
  version: 'v2',
  tag: 'Audit',
  method: 'GET',
  path: '/v2/audit/heads',
  action: 'audit.read',
  scope: 'service',
  summary: 'The newest hash of each chain, to be kept elsewhere',
  errors: [],
  params: s.noFields,
  query: s.noFields,
  body: null,
  replies: {
    200: {
      description: 'The heads, and one digest of all of them.',
      body: s.closed({ heads: Type.Array(head), digest: Type.String() }),
    },
  },
})

const verifyAudit = operation({
  id: 'verifyAudit',
  version: 'v2',
  tag: 'Audit',
  method: 'POST',
  path: '/v2/audit/verify',
  action: 'audit.read',
  scope: 'service',
  summary: 'Check a part of the chains: whether anything has been edited, taken out, moved or cut off',
  errors: [],
  params: s.noFields,
  query: s.noFields,
  body: s.closed({
    start: s.optional(s.pageStart),
    heads: s.optional(
      Type.Array(head, { maxItems: 65, description: 'Heads that were kept: the chains must still hold them.' }),
    ),
  }),
  replies: {
    200: {
      description: 'What was found in this part; `next` goes on.',
      body: s.closed({
        batches: s.count,
        problems: Type.Array(
          s.closed({
            chain: Type.String(),
            seq: Type.Integer({ minimum: -1 }),
            kind: Type.Enum(['edited', 'missing', 'moved', 'unreadable', 'truncated', 'anchor']),
            message: Type.String(),
          }),
        ),
        heads: Type.Array(head),
        next: s.optional(Type.String()),
      }),
    },
  },
})

const hold = s.closed({
  token: s.token,
  mode: s.mode,
  holder: Type.String(),
  session: Type.String(),
  since: s.timestamp,
  until: s.optional(s.timestamp),
  held_ms: s.optional(s.durationMs),
  ended: s.optional(text('How it ended: `released`, `expired`, `forced`, …')),
  reason: s.optional(text('Why.')),
})

const showHeld = operation({
  id: 'showHeld',
  version: 'v2',
  tag: 'Locks',
  method: 'GET',
  path: '/v2/locks/{name}/held',
  action: 'lock.read',
  summary: 'Who held a lock at some time, who waited, and how it went on',
  errors: [],
  params: s.nameParams,
  query: s.closed({ at: s.givenTime }),
  body: null,
  replies: {
    200: {
      description: 'As far as the trail is kept.',
      body: s.closed({
        name: s.lockName,
        at: s.timestamp,
        holders: Type.Array(hold),
        waiters: Type.Array(s.closed({ holder: Type.String(), session: Type.String(), since: s.timestamp })),
        is_complete: Type.Boolean({
          description:
            'False: there was more to look through than one request may; or, with `known_since`, what is kept does not go back far enough to tell.',
        }),
        known_since: s.optional(s.timestamp),
      }),
    },
  },
})

export const v2Audit = { queryAudit, showAuditHeads, verifyAudit, showHeld } as const
