/**
 * An operation is a value. Routes, the checks on what arrives, types, both OpenAPI documents and the reference pages
 * derive from it; nothing about the API is written twice.
 */
import type { Static, TObject, TSchema } from 'typebox'
import type { ErrorCode } from './errors.ts'

/** What a caller may be permitted to do; the role names of ECOSYSTEM 1.4 are sets of these. */
export const actions = [
  'lock.read',
  'lock.list',
  'lock.watch',
  'lock.validate',
  'lock.create',
  'lock.delete',
  'lock.acquire',
  'lock.renew',
  'lock.release',
  'lock.transfer',
  'lock.write-value',
  'lock.force-release',
  'lock.preempt',
  'lock.freeze',
  'session.open',
  'session.read',
  'session.renew',
  'session.close',
  'election.campaign',
  'election.proclaim',
  'election.resign',
  'audit.read',
  'usage.read',
  'metrics.read',
  'instance.read',
  'instance.create',
  'instance.update',
  'instance.enable',
  'instance.delete',
  'plan.write',
  'credential.read',
  'credential.create',
  'credential.update',
  'credential.delete',
  'role.read',
  'role.write',
  'policy.read',
  'policy.write',
  'policy.test',
] as const
export type Action = (typeof actions)[number]

/** The instance that is always there, and is meant where none is named. Whoever administers it runs the service. */
export const SERVICE_INSTANCE = 'default'

const known: ReadonlySet<string> = new Set(actions)
export function isAction(text: string): text is Action {
  return known.has(text)
}

export type ReplyFields = {
  description: string
  /** null: no body. */
  body: TSchema | null
  /** A stream of events instead of JSON; `body` is what one event's data is. */
  isStream?: true
  example?: unknown
}

export type OperationFields = {
  id: string
  version: 'v1' | 'v2'
  tag: string
  summary: string
  description?: string
  method: 'GET' | 'PUT' | 'PATCH' | 'POST' | 'DELETE'
  /** Parameters in braces stand for one whole segment, percent-encoded. */
  path: string
  /** null: no permission beyond being known. */
  action: Action | null
  /**
   * Where the action must be permitted: in the caller's instance if nothing is said; in the one that the path names as `{instance}`, or
   * else in `default`, whose administrators run the service; or in `default` alone.
   */
  scope?: 'named_instance' | 'service'
  /** What is asked for outlives the instance: the root key may name one that is gone. */
  reachesGone?: true
  /** Beyond those that every operation may answer. */
  errors: readonly ErrorCode[]
  params: TObject
  query: TObject
  /** Request headers that mean something here. */
  headers?: readonly HeaderFields[]
  /** null: there is none. A body whose fields are all optional may be left out. */
  body: TObject | null
  bodyExample?: unknown
  replies: { readonly [status: number]: ReplyFields }
}

export type HeaderFields = { name: string; isRequired: boolean; description: string }

/** Errors that any operation may answer, whatever it does. */
export const commonErrors = [
  'invalid_request',
  'unauthenticated',
  'forbidden',
  // `Holdfast-Instance` names one that may not be entered.
  'not_found',
  'method_not_allowed',
  'body_too_large',
  'path_too_long',
  'unsupported_media_type',
  'headers_too_large',
  'rate_limited',
  'internal',
  'unavailable',
] as const satisfies readonly ErrorCode[]

export function operation<const Fields extends OperationFields>(fields: Fields): Fields {
  return fields
}

type StaticOf<Schema> = Schema extends TSchema ? Static<Schema> : null

export type ParamsOf<Operation extends OperationFields> = Static<Operation['params']>
export type QueryOf<Operation extends OperationFields> = Static<Operation['query']>
export type BodyOf<Operation extends OperationFields> = StaticOf<Operation['body']>
/** What a handler may return: one of the declared statuses with its body. */
export type ReplyOf<Operation extends OperationFields> = {
  [Status in keyof Operation['replies']]: {
    status: Status
    body: StaticOf<Operation['replies'][Status] extends ReplyFields ? Operation['replies'][Status]['body'] : never>
    headers?: Record<string, string>
  }
}[keyof Operation['replies']]

export const sessionHeader = {
  name: 'Holdfast-Session',
  isRequired: true,
  description: '`<session_id>.<session_secret>` from `POST /v2/sessions`.',
} as const satisfies HeaderFields

/** Understood by every operation. */
export const instanceHeader = {
  name: 'Holdfast-Instance',
  isRequired: false,
  description: 'The instance that is meant, for credentials that do not belong to one; `default` if nothing is said.',
} as const satisfies HeaderFields

export const ifMatchHeader = {
  name: 'If-Match',
  isRequired: false,
  description: 'Only if it still has this `ETag`, or one of several; `*`: only if it is there (of a lock: configured).',
} as const satisfies HeaderFields
