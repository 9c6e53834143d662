/** Who is calling, once it has been proved, however it was proved. What they may do is not said here: `policies/` decides that. */

/** What came with a request that may prove who sent it. */
export type Presented = {
  authorization: string | undefined
  /** Where the request came from: of the socket, or as a trusted proxy says. */
  address: string
  /** Of a client certificate that TLS has verified; null: none. */
  certificate: ClientCertificate | null
}

export type ClientCertificate = {
  /** Common name, or the first URI or DNS name among the alternative names. */
  name: string
  /** SHA-256 of the certificate. */
  fingerprint: string
  expiresAtMs: number
}

export type Identity = {
  /** `root`, `key:<id>`, `iam:<iam_id>`, `oidc:<issuer name>:<sub>`, `cert:<name>`: what the log, the trail and policies name. */
  subject: string
  groups: readonly string[]
  kind: 'root' | 'key' | 'token' | 'certificate'
  /** The key's id, for last use and revocation; null where there is no key. */
  credential: string | null
  /** IBM account of a token; null elsewhere. */
  account: string | null
  /** Instance that the credential belongs to; null: any that policies permit, named by `Holdfast-Instance`. */
  instance: string | null
  /** Roles that the credential itself carries, on all of its instance. */
  roles: readonly string[]
  /** Wall time; null: until revoked. A stream ends then. */
  expiresAtMs: number | null
  /** The `scope` claim, for a remote decision point. */
  scope: string | null
}

/**
 * null: nothing presented proves anybody. Rejects with `HoldfastError`: `rate_limited` after too many failures from the address or for the key, `unavailable`
 * when the issuer's keys cannot be had. Answers at once, without a promise, whenever nothing has to be fetched: the hot path awaits nothing.
 */
export type Authenticate = (presented: Presented) => Identity | null | Promise<Identity | null>
