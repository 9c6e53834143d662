/** What the operations of administration are made of: instances, plans, credentials, roles, policies. */
import { type Static, type TSchema, Type } from 'typebox'
import * as limits from './limits.ts'
import { actions } from './operation.ts'
import * as s from './schemas.ts'

const ID = `^[a-z0-9][a-z0-9-]{0,${limits.RECORD_ID_CHARS_MAX - 1}}$`
const TEXT = '^[^\\u0000-\\u001f\\u007f-\\u009f\\ud800-\\udfff]*$'

export const recordId = Type.String({
  minLength: 1,
  maxLength: limits.RECORD_ID_CHARS_MAX,
  pattern: ID,
  description: 'Lower-case letters, digits and `-`.',
})
const text = (description: string, charsMax: number, charsMin = 1) =>
  Type.String({ minLength: charsMin, maxLength: charsMax, pattern: TEXT, description })
export const recordName = text('For people.', limits.RECORD_NAME_CHARS_MAX)
export const region = Type.String({
  minLength: 1,
  maxLength: 32,
  pattern: '^[a-z0-9-]+$',
  description: 'Where it is, for people and bills.',
})
export const account = Type.String({
  minLength: 1,
  maxLength: 64,
  pattern: '^[A-Za-z0-9-]+$',
  description: 'Whose account it is billed to.',
})
export const capacityUnits = s.integer(
  1,
  limits.CAPACITY_UNITS_MAX,
  'How much it may use: the plan says what one unit buys.',
)
export const subject = text(
  '`key:<id>`, `iam:<iam_id>`, `oidc:<issuer>:<sub>`, `cert:<name>`.',
  limits.SUBJECT_CHARS_MAX,
)
const subjectOrGroup = text('A subject, a group (`group:…`), or `*` for whoever is known.', limits.SUBJECT_CHARS_MAX)
const roleName = text('A role, built in or own; IBM’s role CRNs are understood.', limits.SUBJECT_CHARS_MAX)
const pattern = text(
  'Names of locks: `*` stands for any run of characters, `?` for one, all else for itself.',
  limits.LOCK_NAME_BYTES_MAX,
)
const many = <Item extends ReturnType<typeof text>>(item: Item, itemsMax: number, itemsMin = 0) =>
  Type.Array(item, { minItems: itemsMin, maxItems: itemsMax, uniqueItems: true })
export const roles = many(roleName, limits.POLICY_ROLES_MAX)

const amount = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const unlimited = Type.Literal('unlimited')
const each = <Limit extends TSchema>(limit: Limit) =>
  s.closed({
    operations_per_second: limit,
    burst_operations: limit,
    held_locks: limit,
    sessions: limit,
    waiters: limit,
    watches: limit,
    stored_bytes: limit,
  })
export const instanceLimits = each(Type.Union([amount, Type.Null()], { description: 'null: no limit.' }))
const some = {
  additionalProperties: false,
  description: 'Instead of what the units buy, where the plan allows it. Given by whoever runs the service.',
} as const
export const overrides = Type.Partial(each(Type.Union([amount, unlimited])), some)
/** Of a new instance: null is no limit, as in its limits. */
export const newOverrides = Type.Partial(each(Type.Union([amount, unlimited, Type.Null()])), some)
export const overridesPatch = Type.Union([
  Type.Partial(each(Type.Union([amount, unlimited, Type.Null()])), {
    ...some,
    description:
      'Merged into those that are there: null takes one away, so that its limit is again what the units buy.',
  }),
  Type.Null({ description: 'Takes all of them away.' }),
])

export const instanceView = s.closed({
  id: recordId,
  name: recordName,
  crn: Type.String(),
  account,
  plan: recordId,
  capacity_units: s.count,
  region,
  state: Type.Enum(['active', 'disabled', 'pending_reclamation', 'reclaimed'], {
    description: '`pending_reclamation`: deleted, and can be restored; `reclaimed`: gone for good, for bills only.',
  }),
  closed_by: s.optional(
    Type.Enum(['service', 'instance'], {
      description:
        'Who disabled or deleted it: whoever runs the service, or its own people. What the service has closed only the service opens again.',
    }),
  ),
  overrides,
  limits: instanceLimits,
  created_at: s.timestamp,
  created_by: Type.String(),
  changed_at: s.timestamp,
  reclaim_at: s.optional(s.timestamp),
})
export type InstanceView = Static<typeof instanceView>

export const planView = s.closed({
  id: recordId,
  title: recordName,
  description: s.description,
  price_usd: Type.Number({ minimum: 0, description: 'For each hour of `per_units` capacity units.' }),
  per_units: s.integer(1, limits.CAPACITY_UNITS_MAX, 'What the price is for.'),
  min_units: s.integer(0, limits.CAPACITY_UNITS_MAX, 'At least this many are metered.'),
  step_units: s.integer(1, limits.CAPACITY_UNITS_MAX, 'Units come in steps of this many.'),
  allows_overrides: Type.Boolean(),
  unit: instanceLimits,
  state: Type.Enum(['offered', 'retired']),
})
export type PlanView = Static<typeof planView>

export const credentialView = s.closed({
  id: recordId,
  name: recordName,
  instance: recordId,
  subject,
  groups: many(text('A group.', limits.SUBJECT_CHARS_MAX), limits.GROUPS_MAX),
  roles,
  state: Type.Enum(['active', 'revoked', 'expired']),
  created_at: s.timestamp,
  created_by: Type.String(),
  expires_at: s.optional(s.timestamp),
  replaced_by: s.optional(recordId),
  last_used_at: s.optional(s.timestamp),
})
export type CredentialView = Static<typeof credentialView>

/** Shown once. */
export const newCredential = s.closed({
  credential: credentialView,
  api_key: Type.String({ description: 'Shown this once, and kept nowhere.' }),
  url: Type.String({ description: 'Where the service answers.' }),
})

export const roleView = s.closed({
  id: recordId,
  title: recordName,
  actions: Type.Array(Type.Enum([...actions])),
  is_built_in: Type.Boolean(),
})
export type RoleView = Static<typeof roleView>

const clockTime = Type.String({
  minLength: 5,
  maxLength: 5,
  pattern: '^([01][0-9]|2[0-3]):[0-5][0-9]$',
  description: 'UTC, as `08:30`.',
})
export const conditions = s.closed({
  max_ttl_ms: s.optional(s.ttlMs),
  max_priority: s.optional(s.priority),
  preempt: s.optional(s.preemption),
  hours: s.optional(
    s.closed({
      days: s.optional(Type.Array(s.integer(0, 6, '0 is Sunday.'), { minItems: 1, maxItems: 7, uniqueItems: true })),
      from: clockTime,
      to: clockTime,
    }),
  ),
  sources: s.optional(many(text('A CIDR block or an address.', 64), limits.POLICY_SOURCES_MAX, 1)),
  labels: s.optional(s.labels),
})
export type WireConditions = Static<typeof conditions>

export const policyFields = {
  description: s.optional(s.description),
  subjects: many(subjectOrGroup, limits.POLICY_SUBJECTS_MAX, 1),
  roles: many(roleName, limits.POLICY_ROLES_MAX, 1),
  locks: s.optional(many(pattern, limits.POLICY_PATTERNS_MAX, 1)),
  conditions: s.optional(conditions),
}
export const policyBody = s.closed(policyFields)
export const policyView = s.closed({
  id: recordId,
  instance: recordId,
  description: s.description,
  subjects: policyFields.subjects,
  roles: policyFields.roles,
  locks: many(pattern, limits.POLICY_PATTERNS_MAX, 1),
  conditions,
})
export type PolicyView = Static<typeof policyView>

/** Of a list of records. */
export const pageQuery = s.closed({ limit: s.optional(s.pageLimitQuery), start: s.optional(s.pageStart) })
export const idParams = s.closed({ id: recordId })

export function pageReply<const Name extends string, const Row extends TSchema>(name: Name, row: Row) {
  // A computed key widens to `string`; it is `Name`.
  const rows = { [name]: Type.Array(row) } as Record<Name, ReturnType<typeof Type.Array<Row>>>
  return {
    200: {
      description: 'A page, ordered by id.',
      body: s.closed({ ...rows, limit: s.pageLimit, first: s.pageLink, next: s.optional(s.nextLink) }),
    },
  }
}
