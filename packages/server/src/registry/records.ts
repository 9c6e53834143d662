/**
 * Who may do what, as records: instances, plans, credentials, roles, policies. Few, small, seldom changed, and known whole to every server,
 * so that no request waits for them.
 *
 * Ids are `[a-z0-9-]`, 1 to 64 characters: they are parts of keys in the store and of paths on the wire. Times are wall time in ms since 1970:
 * labels and calendar dates, never deadlines of locks.
 */
import type { Action } from '@holdfast/protocol/operation'

export type InstanceRecord = {
  /** What the shards know it by; `default` is the one that is always there. */
  id: string
  /** For people; of one account mostly only one has it. */
  name: string
  crn: string
  account: string
  plan: string
  capacityUnits: number
  region: string
  state: 'active' | 'disabled' | 'pending_reclamation'
  /** Who disabled it, also while it is deleted: restored it is disabled again. Missing in records of before this was noted, like null when it is not disabled. */
  disabledBy?: Side | null
  /** Who deleted it. */
  deletedBy?: Side | null
  /** Instead of what the plan's units buy, where the plan allows it; what whoever runs the service has given. */
  overrides: Partial<Limits>
  createdAtMs: number
  createdBy: string
  changedAtMs: number
  /** While it is pending reclamation: when it goes for good, and what it was before. */
  reclaimAtMs: number | null
  /** Since when it is going for good: it can no longer be restored. Missing, like null: it is not. */
  reclaimingAtMs?: number | null
  /** What the platform that has ordered it through the broker calls it. Missing: nobody has. */
  orderedAs?: string
  /** Which plan and how many units since when, oldest first: what it is metered by; 0 units while it is deleted. */
  history: { plan: string; capacityUnits: number; fromMs: number }[]
}

/** What is kept of an instance that is gone for good, for as long as it may still have to be billed or asked about: by its history it is metered. */
export type ReclaimedRecord = Omit<InstanceRecord, 'state'> & { state: 'reclaimed'; reclaimedAtMs: number }

/** What is provided on it is not metered: of the instance that every server has. */
export const UNMETERED_PLAN = 'unmetered'

/** `service`: whoever runs the service; `instance`: the people of the instance itself. */
export type Side = 'service' | 'instance'

/** What an instance may use; 0 is none, null is no limit. */
export type Limits = {
  operationsPerSecond: number | null
  /** How many may come at once after a silence. */
  burstOperations: number | null
  heldLocks: number | null
  sessions: number | null
  waiters: number | null
  watches: number | null
  /** Values, metadata, labels and configurations. */
  storedBytes: number | null
}

export const noLimits: Limits = {
  operationsPerSecond: null,
  burstOperations: null,
  heldLocks: null,
  sessions: null,
  waiters: null,
  watches: null,
  storedBytes: null,
}

export type PlanRecord = {
  /** `standard`, `premium`, or the operator's own. */
  id: string
  title: string
  description: string
  /** USD for each hour of `perUnits` capacity units. Price is data: nothing but usage reports and the catalogue reads it. */
  priceUsd: number
  perUnits: number
  minUnits: number
  stepUnits: number
  allowsOverrides: boolean
  /** What one capacity unit buys. */
  unit: Limits
  state: 'offered' | 'retired'
}

export type CredentialRecord = {
  /** Public: part of the key, shown everywhere. */
  id: string
  instance: string
  name: string
  /** Who it is, for policies and the trail: `key:<id>`, or a service id that several keys share. */
  subject: string
  groups: string[]
  /** Base64url of the SHA-256 of the secret, which itself is 256 random bits and therefore needs no slow hash. */
  secretHash: string
  /** Granted on the whole instance; finer grants are policies for its subject. */
  roles: string[]
  state: 'active' | 'revoked'
  /** It was revoked so that what its sessions hold is released too. */
  endsSessions?: true
  createdAtMs: number
  createdBy: string
  expiresAtMs: number | null
  /** After a rotation the old one goes on until then. */
  replacedBy: string | null
  /** What the platform that has ordered it through the broker calls it; the keys of one binding share a subject. Missing: nobody has. */
  binding?: string
}

/** Two instances may have roles and policies of the same id: the registry has them under `keyWithin(instance, id)`. */
export type RoleRecord = {
  /** Custom ones; the built-in roles are code (`policies/`), and no record may have their names. */
  id: string
  /** null: for every instance. */
  instance: string | null
  title: string
  actions: Action[]
}

/** No id has a dot, so no two pairs make one key. */
export function keyWithin(instance: string | null, id: string): string {
  return `${instance ?? ''}.${id}`
}

export type Conditions = {
  maxTtlMs?: number
  maxPriority?: number
  /** The most that may be asked for. */
  preempt?: 'never' | 'graceful' | 'immediate'
  /** UTC; `from` may be later than `to`: over midnight. Minutes of the day. */
  hours?: { days?: number[]; fromMinute: number; toMinute: number }
  /** CIDR blocks or single addresses, IPv4 and IPv6. */
  sources?: string[]
  /** The request's labels must have these. */
  labels?: Record<string, string>
}

export type PolicyRecord = {
  id: string
  instance: string
  description: string
  /** Subjects (`key:…`, `iam:…`, `oidc:<issuer>:<sub>`, `cert:…`), groups (`group:…`), or `*`: whoever is known. */
  subjects: string[]
  roles: string[]
  /** Patterns of lock names as IBM's `stringMatch`: `*` is any run of characters, `?` is one; all else is literal. */
  locks: string[]
  conditions: Conditions
}

/** The public half of a key that a server signs tokens with; the other half is in that server's memory and nowhere else (decision 0127). */
export type SignerRecord = {
  /** `kid` of the tokens. */
  id: string
  /** Of an RSA key, as a JWK has them. */
  n: string
  e: string
  createdAtMs: number
  /** From then on no token of it is good, whatever it says of itself. */
  endsAtMs: number
}

export type Records = {
  instance: InstanceRecord
  reclaimed: ReclaimedRecord
  plan: PlanRecord
  credential: CredentialRecord
  role: RoleRecord
  policy: PolicyRecord
  signer: SignerRecord
}
export type Kind = keyof Records
export const kinds = [
  'instance',
  'reclaimed',
  'plan',
  'credential',
  'role',
  'policy',
  'signer',
] as const satisfies readonly Kind[]
