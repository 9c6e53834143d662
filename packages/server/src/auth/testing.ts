/** For the tests of this room: an issuer on a real socket that publishes what it is told to, tokens as it signs them, and who takes them. */
import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, beforeEach } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { exportJWK, type JWK, SignJWT } from 'jose'
import { FakeClock } from '../shards/testing.ts'
import type { Identity } from './identity.ts'
import type { IssuerConfig } from './issuer.ts'
import { digestOf } from './secrets.ts'
import { Tokens, type TokenVerdict } from './tokens.ts'

export type Pair = { privateKey: KeyObject; publicKey: KeyObject }
const rsa = (): Pair => generateKeyPairSync('rsa', { modulusLength: 2_048 })
export const pairs = {
  RS256: rsa(),
  other: rsa(),
  ES256: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }),
  ES384: generateKeyPairSync('ec', { namedCurve: 'secp384r1' }),
  EdDSA: generateKeyPairSync('ed25519'),
  short: generateKeyPairSync('rsa', { modulusLength: 1_024 }),
}

export const published = async (pair: Pair, more: Partial<JWK>): Promise<JWK> => ({
  ...(await exportJWK(pair.publicKey)),
  ...more,
})

type Made = { claims?: Record<string, unknown>; header?: Record<string, unknown>; pair?: Pair }
type Opened = { verify(text: string): ReturnType<Tokens['verify']>; is(text: string): Promise<TokenVerdict['is']> }
type Issuing = {
  issuer: TestIssuer
  /** A server that takes tokens of these issuers, or of the one that there is. */
  open(...issuers: Partial<IssuerConfig>[]): Opened
  /** A good token, but for what is said. */
  make(made?: Made): Promise<string>
}

/** For all tests of a file, each of which finds it as at its start. */
export function testIssuer(): Issuing {
  const issuer = new TestIssuer()
  before(() => issuer.listen())
  beforeEach(() => issuer.begin())
  after(() => issuer.close())
  return { issuer, open: (...issuers) => issuer.open(issuers), make: made => issuer.make(made) }
}

class TestIssuer {
  url = ''
  /** Since the test has begun. */
  requests = 0
  clock = new FakeClock()
  /** What it publishes now. */
  keys: JWK[] = []
  readonly serveKeys: RequestListener = (_request, response) => response.end(JSON.stringify({ keys: this.keys }))
  serve: RequestListener = this.serveKeys
  /** By those that take its tokens, in all tests of the file. */
  readonly warned: string[] = []
  readonly #opened: Tokens[] = []
  readonly #server = createServer((request, response) => {
    this.requests++
    this.serve(request, response)
  })

  async listen(): Promise<void> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
    // Listening on a host and port, the address is no text.
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async begin(): Promise<void> {
    for (const tokens of this.#opened.splice(0)) tokens.close()
    this.clock = new FakeClock()
    this.keys = [await published(pairs.RS256, { kid: 'one', alg: 'RS256', use: 'sig' })]
    this.serve = this.serveKeys
    this.requests = 0
  }

  close(): void {
    for (const tokens of this.#opened) tokens.close()
    this.#server.closeAllConnections()
    this.#server.close()
  }

  open(issuers: Partial<IssuerConfig>[]): Opened {
    const tokens = new Tokens({
      issuers: (issuers.length === 0 ? [{}] : issuers).map(more => ({
        ...plainIssuer,
        jwksUri: `${this.url}/keys`,
        ...more,
      })),
      clock: this.clock,
      warn: (message, fields) => this.warned.push(`${message} ${JSON.stringify(fields)}`),
    })
    this.#opened.push(tokens)
    const verify = (text: string) => tokens.verify(text, digestOf(text))
    return { verify, is: async text => (await verify(text)).is }
  }

  make({ claims = {}, header = {}, pair = pairs.RS256 }: Made = {}): Promise<string> {
    const nowS = this.clock.wallMs() / 1_000
    return new SignJWT({
      iss: 'https://login.example.org',
      aud: 'holdfast',
      sub: 'ann',
      iat: nowS,
      exp: nowS + 600,
      ...claims,
    })
      .setProtectedHeader({ alg: 'RS256', kid: 'one', ...header })
      .sign(pair.privateKey)
  }
}

/** As one is read that says nothing but its name and address. */
export const plainIssuer: IssuerConfig = {
  name: 'corporate',
  kind: 'oidc',
  issuer: 'https://login.example.org',
  audiences: ['holdfast'],
  jwksUri: null,
  algorithms: ['RS256', 'ES256', 'PS256', 'EdDSA'],
  clockSkewMs: 30_000,
  subjectClaim: null,
  groupsClaim: null,
  accounts: null,
  instance: null,
  authoritiesFile: null,
  bearerFile: null,
}

/** A part of a token, as it is written. */
export const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

export function identityIn(verdict: TokenVerdict): Identity {
  assert.ok(verdict.is === 'valid')
  return verdict.identity
}

/** Sockets take their time; what has not happened after so many looks will not. */
export async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  for (let looks = 0; looks < 5_000; looks++) {
    if (await what()) return
    await sleep(1)
  }
  assert.fail('it has not come to that')
}
