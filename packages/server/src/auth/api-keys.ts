/**
 * API keys: `hfk_<id>_<secret>`. The id is public, the secret 256 random bits, of which only the SHA-256 is stored: nobody guesses it, so a slow hash
 * would only cost. Whether a key's id is known cannot be told from how long the answer takes: the same work is done for one that is not.
 */
import { timingSafeEqual } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { Random } from '../random.ts'
import type { Registry } from '../registry/port.ts'
import type { CredentialRecord } from '../registry/records.ts'
import type { Identity } from './identity.ts'
import { digestOf } from './secrets.ts'

/** 256 bits. */
const SECRET_BYTES = 32
/** Ids of the registry are no longer. */
const ID_CHARS_MAX = 64
const form = new RegExp(`^hfk_([a-z0-9-]{1,${ID_CHARS_MAX}})_([A-Za-z0-9_-]{43})$`)

export type MintedKey = {
  /** Shown once, to whoever asked for it; kept nowhere. */
  key: string
  /** For the record: base64url of the SHA-256 of the secret. */
  secretHash: string
}

/** Draws a secret for the credential `id`. */
export function mintKey(random: Random, id: string): MintedKey {
  const secret = Buffer.from(random.bytes(SECRET_BYTES)).toString('base64url')
  const key = `hfk_${id}_${secret}`
  if (!form.test(key)) throw new Error(`the id of a credential is not of the form [a-z0-9-]{1,${ID_CHARS_MAX}}`)
  return { key, secretHash: digestOf(secret).toString('base64url') }
}

/** null: not in the form of a key. Says nothing of whether there is such a key. */
export function parseKey(text: string): { id: string; secret: string } | null {
  const match = form.exec(text)
  return match ? { id: match[1]!, secret: match[2]! } : null
}

/** How a key was found to be: what is `wrong` may be a guess, what has `ended` was genuine once. */
export type KeyVerdict = { is: 'valid'; identity: Identity } | { is: 'wrong' } | { is: 'ended' }

/** The two that must be done the same for every key; a test counts them. */
type Work = { digest: (text: string) => Buffer; isEqual: (one: Buffer, other: Buffer) => boolean }

const wrong: KeyVerdict = { is: 'wrong' }
const ended: KeyVerdict = { is: 'ended' }

export class ApiKeys {
  readonly #registry: Pick<Registry, 'get'>
  readonly #clock: Pick<Clock, 'wallMs'>
  readonly #work: Work
  /** What keys without a record are compared with; nothing known has this digest. */
  readonly #nobody = Buffer.alloc(32)
  /** A record never changes, it is replaced: what was made of it is good as long as it is the one. */
  readonly #verdicts = new WeakMap<CredentialRecord, { hash: Buffer; valid: KeyVerdict }>()

  constructor({
    registry,
    clock,
    work = { digest: digestOf, isEqual: timingSafeEqual },
  }: {
    registry: Pick<Registry, 'get'>
    clock: Pick<Clock, 'wallMs'>
    work?: Work
  }) {
    this.#registry = registry
    this.#clock = clock
    this.#work = work
  }

  /** State and expiry are looked at only when the secret is right: whoever does not have it learns nothing about the key. */
  verify({ id, secret }: { id: string; secret: string }): KeyVerdict {
    const record = this.#registry.get('credential', id)
    const known = record && this.#knownOf(record)
    const isRight = this.#work.isEqual(this.#work.digest(secret), known?.hash ?? this.#nobody)
    if (!record || !known || !isRight) return wrong
    return this.#verdictOn(record, known.valid)
  }

  /** For who has shown the secret before, and holds a token for it: what has become of the key since. */
  standing(id: string): KeyVerdict {
    const record = this.#registry.get('credential', id)
    const known = record && this.#knownOf(record)
    return record && known ? this.#verdictOn(record, known.valid) : ended
  }

  #verdictOn({ state, expiresAtMs }: CredentialRecord, valid: KeyVerdict): KeyVerdict {
    if (state !== 'active') return ended
    // After a rotation the old key goes on until it expires: `replacedBy` says only what came after it.
    return expiresAtMs !== null && expiresAtMs <= this.#clock.wallMs() ? ended : valid
  }

  #knownOf(record: CredentialRecord): { hash: Buffer; valid: KeyVerdict } | null {
    let known = this.#verdicts.get(record)
    if (known) return known
    const hash = Buffer.from(record.secretHash, 'base64url')
    if (hash.length !== this.#nobody.length) return null
    known = { hash, valid: { is: 'valid', identity: identityOf(record) } }
    this.#verdicts.set(record, known)
    return known
  }
}

/** Whoever may make keys for one instance must not make one that passes for the operator, for everybody, or for a group. */
const reserved = /^(root$|\*|group:)/

export function subjectOf({ id, subject }: CredentialRecord): string {
  return reserved.test(subject) ? `key:${id}` : subject
}

function identityOf(record: CredentialRecord): Identity {
  return Object.freeze({
    subject: subjectOf(record),
    groups: record.groups.map(group => (group.startsWith('group:') ? group : `group:${group}`)),
    kind: 'key',
    credential: record.id,
    account: null,
    instance: record.instance,
    roles: record.roles,
    expiresAtMs: record.expiresAtMs,
    scope: null,
  })
}
