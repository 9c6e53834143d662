/**
 * What came of a call that failed. Only what stands in this table is known: everything else, also what nobody has thought of yet, may have
 * been carried out, may still be, or never will be.
 *
 * etcd tells its errors apart by their texts, and by nothing else (gRPC's codes are shared by several of them), so here, against our
 * habit, texts are read. They are compared as a whole.
 */
import { status } from '@grpc/grpc-js'
import { EngineUnavailable } from '../engine.ts'

export type EtcdErrorKind =
  /** Refused before anything was proposed, for good. */
  | 'too_large'
  | 'too_many_operations'
  | 'bad_request'
  | 'permission_denied'
  /** The quota is reached. Of a commit it may be said although that commit was applied (SAFETY section 7). */
  | 'no_space'
  /** The revision asked for is no longer kept, or not reached by this member. */
  | 'compacted'
  | 'future_revision'
  /** Not carried out: the token has expired, or users and roles have changed since it was made. */
  | 'stale_token'
  | 'login_needed'
  | 'login_refused'
  | 'login_disabled'
  /** Nobody answered in time; we have stopped listening. */
  | 'timed_out'
  /** Anything else: the outcome is unknown. */
  | 'unknown'

const kinds = new Map<string, EtcdErrorKind>([
  ['etcdserver: request is too large', 'too_large'],
  ['etcdserver: too many operations in txn request', 'too_many_operations'],
  ['etcdserver: duplicate key given in txn request', 'bad_request'],
  ['etcdserver: key is not provided', 'bad_request'],
  ['etcdserver: permission denied', 'permission_denied'],
  ['etcdserver: mvcc: database space exceeded', 'no_space'],
  ['etcdserver: mvcc: required revision has been compacted', 'compacted'],
  ['etcdserver: mvcc: required revision is a future revision', 'future_revision'],
  ['etcdserver: invalid auth token', 'stale_token'],
  ['etcdserver: revision of auth store is old', 'stale_token'],
  ['auth: revision in header is old', 'stale_token'],
  ['etcdserver: user name is empty', 'login_needed'],
  ['etcdserver: authentication failed, invalid user ID or password', 'login_refused'],
  ['etcdserver: authentication is not enabled', 'login_disabled'],
])

export class EtcdError extends EngineUnavailable {
  override readonly name = 'EtcdError'
  readonly kind: EtcdErrorKind
  readonly endpoint: string
  constructor(kind: EtcdErrorKind, endpoint: string, message: string, cause?: unknown) {
    super(`etcd at ${endpoint}: ${message}`, { cause })
    this.kind = kind
    this.endpoint = endpoint
  }
}

export function kindOf(text: string): EtcdErrorKind {
  return kinds.get(text) ?? 'unknown'
}

/** Whether another member could give another answer. */
export function isWorthAnother(error: unknown): boolean {
  if (!(error instanceof EtcdError)) return false
  return error.kind === 'unknown' || error.kind === 'timed_out' || error.kind === 'future_revision'
}

/** gRPC's own error as ours. */
export function toEtcdError(error: unknown, endpoint: string): EtcdError {
  if (error instanceof EtcdError) return error
  const details = error instanceof Error && 'details' in error ? String(error.details) : String(error)
  const code = error instanceof Error && 'code' in error ? error.code : null
  const name = typeof code === 'number' ? `${status[code] ?? code}: ` : ''
  return new EtcdError(kindOf(details), endpoint, `${name}${details}`, error)
}
