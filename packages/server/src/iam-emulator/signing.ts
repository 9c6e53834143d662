/** The emulator's keys and what it signs with them. They live as long as the process. */
import { generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { exportJWK, type JWK, jwtVerify, SignJWT } from 'jose'
import type { Clock } from '../clock.ts'
import { type Random, randomHex } from '../random.ts'
import type { Account, EmulatedIdentity } from './accounts.ts'

/** As IBM's. */
export const TOKEN_SECONDS = 3_600
const RSA_BITS = 2_048

type SigningKey = { kid: string; privateKey: KeyObject; publicKey: KeyObject }

export class Signing {
  readonly #issuer: string
  readonly #account: string
  readonly #clock: Clock
  readonly #random: Random
  /** The last one signs. */
  #keys: SigningKey[] = []

  constructor({ issuer, account, clock, random }: { issuer: string; account: Account; clock: Clock; random: Random }) {
    this.#issuer = issuer
    this.#account = account.account
    this.#clock = clock
    this.#random = random
  }

  /** From here on another key signs. Those before it stay in the set, unless they are withdrawn. */
  async rotate({ withdraw = false } = {}): Promise<string> {
    const pair = await promisify(generateKeyPair)('rsa', { modulusLength: RSA_BITS })
    const key = { kid: `emulator-${randomHex(this.#random, 6)}`, ...pair }
    this.#keys = [...(withdraw ? [] : this.#keys), key]
    return key.kid
  }

  async keySet(): Promise<{ keys: JWK[] }> {
    const keys = this.#keys.map(async ({ kid, publicKey }) => ({
      ...(await exportJWK(publicKey)),
      kid,
      use: 'sig',
      alg: 'RS256',
    }))
    return { keys: await Promise.all(keys) }
  }

  /** `more` goes over what would be claimed otherwise: for tests of what must be refused. */
  async sign(identity: EmulatedIdentity, grantType: string, more: Record<string, unknown> = {}): Promise<string> {
    const key = this.#current()
    const iat = Math.floor(this.#clock.wallMs() / 1_000)
    const claims = {
      ...claimsOf(identity, this.#account),
      jti: randomHex(this.#random, 16),
      iat,
      exp: iat + TOKEN_SECONDS,
      iss: this.#issuer,
      grant_type: grantType,
      scope: 'ibm openid',
      client_id: 'default',
      acr: 1,
      amr: ['pwd'],
      ...more,
    }
    return new SignJWT(claims).setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid: key.kid }).sign(key.privateKey)
  }

  /** The `iam_id` of a token that was signed here and is good now; null for anything else. */
  async verify(token: string): Promise<string | null> {
    for (const { publicKey } of this.#keys) {
      try {
        const currentDate = new Date(this.#clock.wallMs())
        const { payload } = await jwtVerify(token, publicKey, {
          issuer: this.#issuer,
          algorithms: ['RS256'],
          currentDate,
        })
        return typeof payload.iam_id === 'string' ? payload.iam_id : null
      } catch {
        // Perhaps it is another of the keys.
      }
    }
    return null
  }

  #current(): SigningKey {
    const key = this.#keys.at(-1)
    if (!key) throw new Error('the emulator has no key yet')
    return key
  }
}

/** As IBM writes them, for each kind of identity. */
function claimsOf({ iam_id, name, email }: EmulatedIdentity, account: string): Record<string, unknown> {
  const isUser = iam_id.startsWith('IBMid-')
  const sub = isUser ? (email ?? name) : iam_id.replace(/^iam-|^crn-/, '')
  const subType = subTypeOf(iam_id)
  return {
    iam_id,
    id: iam_id,
    realmid: isUser ? 'IBMid' : subType === 'CRN' ? 'crn' : 'iam',
    identifier: iam_id.replace(/^IBMid-|^iam-|^crn-/, ''),
    ...(isUser ? { given_name: name, family_name: 'Example', email } : {}),
    name,
    sub,
    ...(subType === null ? {} : { sub_type: subType }),
    authn: { sub, iam_id, name },
    account: { bss: account, valid: true, frozen: false },
  }
}

/** null: a user. */
function subTypeOf(iamId: string): 'ServiceId' | 'Profile' | 'CRN' | null {
  if (iamId.startsWith('IBMid-')) return null
  if (iamId.startsWith('iam-ServiceId-')) return 'ServiceId'
  return iamId.startsWith('iam-Profile-') ? 'Profile' : 'CRN'
}
