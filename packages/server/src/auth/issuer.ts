/** Whose tokens are believed, and what is read from them. Read from a file by `config/issuers.ts`; changed by a restart. */

export const tokenKinds = ['ibm', 'oidc', 'kubernetes'] as const

/** What a token may be signed with: public-key signatures only. Never `none`, and never HS*, whose key whoever can check tokens could also make them with. */
export const tokenAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const
export type TokenAlgorithm = (typeof tokenAlgorithms)[number]

export type IssuerConfig = {
  /** `[a-z0-9-]`: part of the subjects, `oidc:<name>:<sub>`, so that two issuers never name the same one. */
  name: string
  kind: (typeof tokenKinds)[number]
  /** As it stands in `iss`, to the letter. */
  issuer: string
  /** One of them must be in `aud`. Empty only with IBM, whose tokens have none. */
  audiences: readonly string[]
  /** null: by discovery. */
  jwksUri: string | null
  algorithms: readonly TokenAlgorithm[]
  /** How far the clocks may be apart. */
  clockSkewMs: number
  /** null: as usual for the kind. */
  subjectClaim: string | null
  /** null: tokens bring no groups, but for those of Kubernetes. */
  groupsClaim: string | null
  /** IBM accounts; null: any, and policies decide. */
  accounts: readonly string[] | null
  /** Its tokens are for this instance only; null: for any, as policies permit. */
  instance: string | null
  /** Authorities (PEM) for fetching the keys; null: those of the system. */
  authoritiesFile: string | null
  /** Bearer token for fetching the keys, read anew each time; null: none. Kubernetes may ask for one. */
  bearerFile: string | null
}
