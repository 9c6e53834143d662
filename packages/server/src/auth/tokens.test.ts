/** Tokens against real sockets: what must be refused, however it is signed, and what becomes of it when the issuer changes its keys or is away. */
import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError } from '@holdfast/protocol/errors'
import { TOKEN_CHARS_MAX } from '@holdfast/protocol/limits'
import { exportJWK, type JWK, SignJWT } from 'jose'
import { Authority } from '../../../../test/harness/certificates.ts'
import { temporaryFolder } from '../../../../test/harness/process.ts'
import { FakeClock } from '../shards/testing.ts'
import { FETCH_MS_MAX, FETCHED_BYTES_MAX } from './fetch-json.ts'
import type { Identity } from './identity.ts'
import type { IssuerConfig } from './issuer.ts'
import { COOLDOWN_MS, ISSUER_KEYS_MAX, REFRESH_MS } from './key-sets.ts'
import { digestOf } from './secrets.ts'
import { TOKENS_REMEMBERED_MAX, Tokens, type TokenVerdict, VERIFYING_MAX } from './tokens.ts'

type Pair = { privateKey: KeyObject; publicKey: KeyObject }
const rsa = (): Pair => generateKeyPairSync('rsa', { modulusLength: 2_048 })
const pairs = {
  RS256: rsa(),
  other: rsa(),
  ES256: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }),
  ES384: generateKeyPairSync('ec', { namedCurve: 'secp384r1' }),
  EdDSA: generateKeyPairSync('ed25519'),
  short: generateKeyPairSync('rsa', { modulusLength: 1_024 }),
}
const published = async (pair: Pair, more: Partial<JWK>): Promise<JWK> => ({
  ...(await exportJWK(pair.publicKey)),
  ...more,
})

let server: Server
let url = ''
let requests = 0
let clock: FakeClock
/** What the issuer publishes now. */
let keys: JWK[] = []
const serveKeys: RequestListener = (_request, response) => response.end(JSON.stringify({ keys }))
let serve: RequestListener = serveKeys
const opened: Tokens[] = []

before(async () => {
  server = createServer((request, response) => {
    requests++
    serve(request, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  // Listening on a host and port, the address is no text.
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})

beforeEach(async () => {
  for (const tokens of opened.splice(0)) tokens.close()
  clock = new FakeClock()
  keys = [await published(pairs.RS256, { kid: 'one', alg: 'RS256', use: 'sig' })]
  serve = serveKeys
  requests = 0
})

after(() => {
  for (const tokens of opened) tokens.close()
  server.closeAllConnections()
  server.close()
})

function issuerConfig(more: Partial<IssuerConfig> = {}): IssuerConfig {
  return {
    name: 'corporate',
    kind: 'oidc',
    issuer: 'https://login.example.org',
    audiences: ['holdfast'],
    jwksUri: `${url}/keys`,
    algorithms: ['RS256', 'ES256', 'PS256', 'EdDSA'],
    clockSkewMs: 30_000,
    subjectClaim: null,
    groupsClaim: null,
    accounts: null,
    instance: null,
    authoritiesFile: null,
    bearerFile: null,
    ...more,
  }
}

const warned: string[] = []
function open(...issuers: Partial<IssuerConfig>[]) {
  const all = (issuers.length === 0 ? [{}] : issuers).map(issuerConfig)
  const tokens = new Tokens({
    issuers: all,
    clock,
    warn: (message, fields) => warned.push(`${message} ${JSON.stringify(fields)}`),
  })
  opened.push(tokens)
  const verify = (text: string) => tokens.verify(text, digestOf(text))
  return { verify, is: async (text: string) => (await verify(text)).is }
}

type Made = { claims?: Record<string, unknown>; header?: Record<string, unknown>; pair?: Pair }

/** A good token, but for what is said. */
function make({ claims = {}, header = {}, pair = pairs.RS256 }: Made = {}): Promise<string> {
  const nowS = clock.wallMs() / 1_000
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

const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

function identityIn(verdict: TokenVerdict): Identity {
  assert.ok(verdict.is === 'valid')
  return verdict.identity
}

const unavailable = (error: unknown) => error instanceof HoldfastError && error.code === 'unavailable'

/** Sockets take their time; what has not happened after so many looks will not. */
async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  for (let looks = 0; looks < 5_000; looks++) {
    if (await what()) return
    await sleep(1)
  }
  assert.fail('it has not come to that')
}

test('a good token is looked at once, and then answered at once', async () => {
  const { verify } = open()
  const token = await make()
  const first = verify(token)
  assert.ok(first instanceof Promise)
  const identity = identityIn(await first)
  assert.equal(identity.subject, 'oidc:corporate:ann')
  assert.equal(identity.expiresAtMs, clock.wallMs() + 630_000)
  const again = verify(token)
  assert.ok(!(again instanceof Promise))
  assert.equal(identityIn(again), identity)
  assert.equal(requests, 1)
})

test('those who bring the same token at once wait for the same check', async () => {
  const { verify } = open()
  const token = await make()
  const [one, other] = [verify(token), verify(token)]
  assert.equal(one, other)
  assert.equal((await one).is, 'valid')
})

test('each kind of key that is allowed is good, if the token says what the key is for', async () => {
  keys = [
    await published(pairs.RS256, { kid: 'rsa' }),
    await published(pairs.ES256, { kid: 'ec', alg: 'ES256' }),
    await published(pairs.EdDSA, { kid: 'ed', alg: 'EdDSA' }),
  ]
  const { is } = open()
  const of = (alg: string, kid: string, pair: Pair) => make({ header: { alg, kid }, pair })
  assert.equal(await is(await of('RS256', 'rsa', pairs.RS256)), 'valid')
  assert.equal(await is(await of('PS256', 'rsa', pairs.RS256)), 'valid')
  assert.equal(await is(await of('ES256', 'ec', pairs.ES256)), 'valid')
  assert.equal(await is(await of('EdDSA', 'ed', pairs.EdDSA)), 'valid')
  assert.equal(await is(await of('ES256', 'rsa', pairs.ES256)), 'wrong')
  assert.equal(await is(await of('RS256', 'ec', pairs.RS256)), 'wrong')
  // Good, but not on the list.
  assert.equal(await is(await of('RS512', 'rsa', pairs.RS256)), 'wrong')
})

test('a key that is published for one algorithm is good for no other', async () => {
  const { is } = open()
  assert.equal(await is(await make({ header: { alg: 'PS256' } })), 'wrong')
})

test('a token without a signature is nothing, however it is written', async () => {
  const { is } = open()
  const good = await make()
  const [, payload = '', signature = ''] = good.split('.')
  for (const alg of ['none', 'None', 'NONE', '', 'nOnE', undefined, null, ['RS256'], { toString: 'RS256' }])
    for (const end of ['', signature])
      assert.equal(
        await is(`${encoded({ alg, kid: 'one' })}.${payload}.${end}`),
        'wrong',
        `${JSON.stringify(alg)} ${end}`,
      )
  const [header = ''] = good.split('.')
  assert.equal(await is(`${header}.${payload}.`), 'wrong')
})

test('a token that was signed with the public key as a secret is nothing', async () => {
  const { is } = open()
  const { publicKey } = pairs.RS256
  const secrets = [
    publicKey.export({ type: 'spki', format: 'pem' }),
    publicKey.export({ type: 'spki', format: 'der' }),
    publicKey.export({ type: 'pkcs1', format: 'pem' }),
    String(keys[0]?.n),
    JSON.stringify(keys[0]),
  ]
  const [, payload = ''] = (await make()).split('.')
  for (const alg of ['HS256', 'HS384', 'HS512', 'RS256'])
    for (const secret of secrets) {
      const start = `${encoded({ alg, kid: 'one' })}.${payload}`
      const hash = alg === 'RS256' ? 'sha256' : `sha${alg.slice(2)}`
      const signature = createHmac(hash, secret).update(start).digest('base64url')
      assert.equal(await is(`${start}.${signature}`), 'wrong', alg)
    }
})

test('a key that comes with the token, or is pointed at by it, is not looked at', async () => {
  const { is } = open()
  const jwk = await exportJWK(pairs.other.publicKey)
  const begun = requests
  for (const header of [{ jwk }, { jku: `${url}/evil` }, { x5u: `${url}/evil` }, { x5c: ['AAAA'] }])
    assert.equal(await is(await make({ header, pair: pairs.other })), 'wrong')
  assert.ok(requests - begun <= 1, 'but for the keys themselves')
})

test('a token that another key has signed, or that was changed since, is wrong', async () => {
  const { is } = open()
  assert.equal(await is(await make({ pair: pairs.other })), 'wrong')
  const [header, payload = '', signature = ''] = (await make()).split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
  assert.equal(await is(`${header}.${encoded({ ...claims, sub: 'bob' })}.${signature}`), 'wrong')
  const spoilt = (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1)
  assert.equal(await is(`${header}.${payload}.${spoilt}`), 'wrong')
})

test('what demands an understanding that is not there is wrong', async () => {
  const { is } = open()
  const [, payload, signature] = (await make()).split('.')
  for (const header of [
    { alg: 'RS256', kid: 'one', crit: ['exp'], exp: 1 },
    { alg: 'RS256', kid: 'one', crit: ['b64'], b64: false },
    { alg: 'RS256', kid: 1 },
  ])
    assert.equal(await is(`${encoded(header)}.${payload}.${signature}`), 'wrong')
  for (const text of ['', 'ey', 'ey..', 'eyJ.eyJ.x', 'ey.ey.ey.ey', `ey${'.'.repeat(8_000)}`])
    assert.equal(await is(text), 'wrong', text.slice(0, 20))
})

test('a token for another audience, or of another issuer, is not for us', async () => {
  const { is, verify } = open({ audiences: ['holdfast', 'locks'] })
  assert.equal(await is(await make({ claims: { aud: ['other', 'locks'] } })), 'valid')
  for (const aud of ['other', ['other'], [], '', undefined, null, 1, 'holdfast2', 'HOLDFAST'])
    assert.equal(await is(await make({ claims: { aud } })), 'refused', JSON.stringify(aud))
  const foreign = await make({ claims: { aud: 'elsewhere' } })
  assert.ok(verify(foreign) instanceof Promise)
  await verify(foreign)
  assert.deepEqual(verify(foreign), { is: 'refused' }, 'at once, without another signature')
  for (const iss of [
    'https://login.example.org/',
    'https://evil.example',
    undefined,
    null,
    1,
    ['https://login.example.org'],
  ]) {
    const verdict = verify(await make({ claims: { iss } }))
    // Without a look at any key.
    assert.deepEqual(verdict, { is: 'wrong' }, JSON.stringify(iss))
  }
})

test("the keys of one issuer are not good for another's tokens", async () => {
  const second = 'https://second.example.org'
  const { is } = open({ jwksUri: `${url}/keys` }, { name: 'second', issuer: second, jwksUri: `${url}/second` })
  const others = [await published(pairs.other, { kid: 'one' })]
  serve = (request, response) =>
    request.url === '/second' ? response.end(JSON.stringify({ keys: others })) : serveKeys(request, response)
  assert.equal(await is(await make()), 'valid')
  assert.equal(await is(await make({ claims: { iss: second } })), 'wrong')
  assert.equal(await is(await make({ claims: { iss: second }, pair: pairs.other })), 'valid')
})

test('a token is good up to the clock skew after it expires, and not a millisecond longer, remembered or not', async () => {
  const { is } = open()
  const token = await make({ claims: { exp: clock.wallMs() / 1_000 + 60 } })
  const other = await make({ claims: { exp: clock.wallMs() / 1_000 + 60, sub: 'bob' } })
  assert.equal(await is(token), 'valid')
  clock.pause(89_999)
  assert.deepEqual([await is(token), await is(await other)], ['valid', 'valid'])
  clock.pause(1)
  const third = await make({ claims: { exp: clock.wallMs() / 1_000 - 30, sub: 'cy' } })
  assert.deepEqual([await is(token), await is(other), await is(third)], ['refused', 'refused', 'refused'])
  clock.pause(60 * 60_000)
  assert.equal(await is(token), 'refused', 'replayed much later')
})

test('a token is good from the clock skew before it begins, and not a millisecond earlier', async () => {
  const { is } = open()
  const beginsS = clock.wallMs() / 1_000 + 60
  const later = { exp: beginsS + 600, iat: clock.wallMs() / 1_000 }
  const token = await make({ claims: { ...later, nbf: beginsS } })
  const issued = await make({ claims: { ...later, iat: beginsS } })
  clock.pause(29_999)
  assert.deepEqual([await is(token), await is(issued)], ['refused', 'refused'])
  clock.pause(1)
  assert.deepEqual([await is(token), await is(issued)], ['valid', 'valid'])
})

test('a token without an end, or with times that are no numbers, is not taken', async () => {
  const { is } = open()
  for (const exp of [undefined, null, '9999999999', {}, []])
    assert.equal(await is(await make({ claims: { exp } })), 'wrong')
  const [header, payload = '', signature] = (await make()).split('.')
  const claims = Buffer.from(payload, 'base64url').toString()
  const endless = Buffer.from(claims.replace(/"exp":\d+/, '"exp":1e999')).toString('base64url')
  assert.equal(await is(`${header}.${endless}.${signature}`), 'wrong')
  for (const claim of [{ nbf: 'soon' }, { iat: '1' }, { nbf: null }])
    assert.equal(await is(await make({ claims: claim })), 'refused', JSON.stringify(claim))
})

test('a token of TOKEN_CHARS_MAX characters is read, a longer one is not', async () => {
  const { verify } = open()
  const sized = async (chars: number) => {
    const bare = (await make({ claims: { pad: '' } })).length
    for (let pad = Math.floor(((chars - bare) * 3) / 4) - 4; ; pad++) {
      const token = await make({ claims: { pad: 'x'.repeat(pad) } })
      if (token.length >= chars) return token
    }
  }
  const longest = await sized(TOKEN_CHARS_MAX)
  assert.equal(longest.length, TOKEN_CHARS_MAX)
  assert.equal((await verify(longest)).is, 'valid')
  const tooLong = await sized(TOKEN_CHARS_MAX + 1)
  assert.deepEqual(verify(tooLong), { is: 'wrong' })
})

test('a key that is rotated in while running is found, and the one before it goes on', async () => {
  const { is } = open()
  const before = await make()
  assert.equal(await is(before), 'valid')
  keys = [...keys, await published(pairs.other, { kid: 'two', alg: 'RS256' })]
  assert.equal(await is(await make({ header: { kid: 'two' }, pair: pairs.other })), 'valid')
  assert.equal(await is(await make({ claims: { sub: 'bob' } })), 'valid')
  assert.equal(requests, 2)
})

test('a key that is withdrawn takes with it what was remembered of its tokens', async () => {
  const { is } = open()
  const token = await make()
  assert.equal(await is(token), 'valid')
  keys = [await published(pairs.other, { kid: 'two' })]
  assert.equal(await is(token), 'valid', 'as long as nobody has told us')
  await clock.pass(REFRESH_MS - 1)
  assert.equal(requests, 1)
  await clock.pass(1)
  const fresh = await make({ claims: { sub: 'bob' } })
  await until(async () => (await is(fresh)) !== 'valid')
  assert.equal(await is(await make({ header: { kid: 'two' }, pair: pairs.other })), 'valid')
  // The first one has expired by now; one that has not must be gone too.
  assert.equal(await is(token), 'refused')
})

test('a remembered token is forgotten with its key long before it expires', async () => {
  const { is } = open()
  const token = await make({ claims: { exp: clock.wallMs() / 1_000 + 86_400 } })
  assert.equal(await is(token), 'valid')
  // The same name for another key is another key.
  keys = [await published(pairs.other, { kid: 'one', alg: 'RS256' })]
  await clock.pass(REFRESH_MS)
  await until(async () => (await is(token)) === 'wrong')
})

test('names of keys that nobody knows cause one fetch in COOLDOWN_MS', async () => {
  const { is } = open()
  assert.equal(await is(await make()), 'valid')
  const guess = async (kid: string) => is(await make({ header: { kid }, pair: pairs.other }))
  for (let count = 0; count < 20; count++) assert.equal(await guess(`guess-${count}`), 'wrong')
  assert.equal(requests, 2)
  clock.pause(COOLDOWN_MS - 1)
  assert.equal(await guess('guess'), 'wrong')
  assert.equal(requests, 2)
  clock.pause(1)
  assert.equal(await guess('guess'), 'wrong')
  assert.equal(requests, 3)
})

test('without a name of a key it must be the only one that it can be', async () => {
  const { is } = open()
  const unnamed = (sub: string) => make({ header: { kid: undefined }, claims: { sub } })
  assert.equal(await is(await unnamed('ann')), 'valid')
  keys = [...keys, await published(pairs.other, { kid: 'two', alg: 'RS256' })]
  await clock.pass(REFRESH_MS)
  // Each look with a token of its own: what was found good with the keys of before is remembered.
  let looks = 0
  await until(async () => (await is(await unnamed(`${++looks}`))) === 'wrong')
})

test('while the issuer is away its known keys go on, and what names another cannot be decided', async () => {
  const { is } = open()
  assert.equal(await is(await make()), 'valid')
  serve = (_request, response) => response.writeHead(500).end('{"keys":[]}')
  await clock.pass(REFRESH_MS)
  await until(() => requests === 2)
  assert.equal(await is(await make({ claims: { sub: 'bob' } })), 'valid')
  const unknown = await make({ header: { kid: 'two' }, pair: pairs.other })
  await assert.rejects(is(unknown), unavailable)
  const asked = requests
  await assert.rejects(is(unknown), unavailable)
  assert.equal(requests, asked, 'and is not asked again for a while')
  serve = serveKeys
  keys = [...keys, await published(pairs.other, { kid: 'two', alg: 'RS256' })]
  clock.pause(COOLDOWN_MS)
  assert.equal(await is(unknown), 'valid')
})

test('an issuer that is away from the start is asked again when it is needed', async () => {
  serve = (_request, response) => response.destroy()
  const { is } = open()
  await assert.rejects(is(await make()), unavailable)
  serve = serveKeys
  clock.pause(COOLDOWN_MS)
  assert.equal(await is(await make()), 'valid')
})

test('an issuer that answers slower than FETCH_MS_MAX is as good as away', async () => {
  serve = () => undefined
  const { is } = open()
  const token = await make()
  const answer = is(token)
  await until(() => requests === 1)
  await clock.pass(FETCH_MS_MAX)
  // The one that it then asks for itself.
  await until(() => requests === 2)
  await clock.pass(FETCH_MS_MAX)
  await assert.rejects(answer, unavailable)
  // One that begins to answer and does not go on is no better.
  serve = (_request, response) => response.write('{')
  clock.pause(COOLDOWN_MS)
  const later = is(token)
  await until(() => requests === 3)
  await clock.pass(FETCH_MS_MAX)
  await assert.rejects(later, unavailable)
  assert.ok(warned.at(-1)?.includes(`took longer than ${FETCH_MS_MAX} ms`), warned.at(-1))
})

test('an answer of FETCHED_BYTES_MAX is read, a larger one is not, and no redirect is followed', async () => {
  const padded = (bytes: number) => JSON.stringify({ keys }).padEnd(bytes)
  serve = (_request, response) => response.end(padded(FETCHED_BYTES_MAX))
  assert.equal(await open().is(await make()), 'valid')
  serve = (_request, response) => response.end(padded(FETCHED_BYTES_MAX + 1))
  await assert.rejects(open().is(await make()), unavailable)
  serve = (request, response) =>
    request.url === '/keys' ? response.writeHead(302, { location: '/elsewhere' }).end() : serveKeys(request, response)
  await assert.rejects(open().is(await make()), unavailable)
})

test('an answer without a key that can be used is a failure, not a withdrawal', async () => {
  const { is } = open()
  assert.equal(await is(await make()), 'valid')
  const hmac = { kty: 'oct', kid: 'two', k: 'AAAA' }
  for (const body of [
    '{"keys":[]}',
    '[]',
    'null',
    '{',
    '{"keys":1}',
    JSON.stringify({ keys: [hmac, 1, null, { kty: 'RSA' }] }),
  ]) {
    serve = (_request, response) => response.end(body)
    clock.pause(COOLDOWN_MS)
    await assert.rejects(is(await make({ header: { kid: 'two' } })), unavailable, body)
    assert.equal(await is(await make({ claims: { sub: body } })), 'valid', body)
  }
})

test('keys for encryption, and RSA keys that are too short, are not used', async () => {
  keys = [
    await published(pairs.other, { kid: 'enc', use: 'enc' }),
    await published(pairs.other, { kid: 'wrap', key_ops: ['wrapKey'] }),
    await published(pairs.short, { kid: 'short' }),
    await published(pairs.ES384, { kid: 'curve' }),
    ...keys,
  ]
  const { is } = open()
  for (const kid of ['enc', 'wrap']) assert.equal(await is(await make({ header: { kid }, pair: pairs.other })), 'wrong')
  const [, payload] = (await make()).split('.')
  const start = `${encoded({ alg: 'RS256', kid: 'short' })}.${payload}`
  const signature = sign('sha256', Buffer.from(start), pairs.short.privateKey).toString('base64url')
  assert.equal(await is(`${start}.${signature}`), 'wrong')
})

test('of more than ISSUER_KEYS_MAX keys the first are used', async () => {
  const filler = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ ...keys[0], kid: `filler-${index}` }))
  const [own] = keys
  keys = [...filler(ISSUER_KEYS_MAX - 1), own!]
  assert.equal(await open().is(await make()), 'valid')
  keys = [...filler(ISSUER_KEYS_MAX), own!]
  assert.equal(await open().is(await make()), 'wrong')
})

test('discovery is believed only if it is of the issuer itself', async () => {
  let configuration: object = {}
  serve = (request, response) => {
    if (request.url?.endsWith('/.well-known/openid-configuration')) response.end(JSON.stringify(configuration))
    else serveKeys(request, response)
  }
  const own = { issuer: `${url}/identity`, jwksUri: null }
  const token = () => make({ claims: { iss: own.issuer } })
  configuration = { issuer: own.issuer, jwks_uri: `${url}/keys` }
  assert.equal(await open(own).is(await token()), 'valid')
  for (const bad of [
    { issuer: 'https://evil.example', jwks_uri: `${url}/keys` },
    { issuer: own.issuer },
    { issuer: own.issuer, jwks_uri: 'http://evil.example/keys' },
    { issuer: own.issuer, jwks_uri: 'file:///etc/passwd' },
    { issuer: own.issuer, jwks_uri: 1 },
  ]) {
    configuration = bad
    await assert.rejects(open(own).is(await token()), unavailable, JSON.stringify(bad))
  }
})

test('of more than TOKENS_REMEMBERED_MAX tokens those that were not seen for longest are forgotten', async () => {
  keys = [await published(pairs.EdDSA, { kid: 'one' })]
  const { verify } = open()
  const token = (index: number) => make({ claims: { sub: `${index}` }, header: { alg: 'EdDSA' }, pair: pairs.EdDSA })
  const first = await token(-1)
  await verify(first)
  const bring = async (from: number, to: number) => {
    for (let index = from; index < to; index += 500) {
      const some = await Promise.all(Array.from({ length: Math.min(500, to - index) }, (_, at) => token(index + at)))
      for (const verdict of await Promise.all(some.map(verify))) assert.equal(verdict.is, 'valid')
    }
  }
  // Those that are brought together are seen in whatever order they come to be checked.
  await bring(0, 1)
  await bring(1, TOKENS_REMEMBERED_MAX - 1)
  // Seen: it is the youngest now.
  assert.ok(!(verify(first) instanceof Promise))
  const [oldest, next] = [await token(0), await token(1)]
  assert.ok(!(verify(next) instanceof Promise))
  await bring(TOKENS_REMEMBERED_MAX, TOKENS_REMEMBERED_MAX + 1)
  assert.ok(!(verify(first) instanceof Promise))
  assert.ok(verify(oldest) instanceof Promise)
})

test('VERIFYING_MAX tokens are looked at together, and one more is told to come back', async () => {
  keys = [await published(pairs.EdDSA, { kid: 'one' })]
  let release = () => undefined as unknown
  serve = (request, response) => {
    release = () => serveKeys(request, response)
  }
  const { verify } = open()
  const made = Array.from({ length: VERIFYING_MAX + 1 }, (_, index) =>
    make({ claims: { sub: `${index}` }, header: { alg: 'EdDSA' }, pair: pairs.EdDSA }),
  )
  const [last, ...rest] = await Promise.all(made)
  const waiting = rest.map(verify)
  assert.throws(
    () => verify(last!),
    error =>
      error instanceof HoldfastError && error.code === 'rate_limited' && Number(error.details.retry_after_ms) > 0,
  )
  assert.equal(verify(rest[0]!), waiting[0], 'one that is looked at already is no more')
  await until(() => requests === 1)
  release()
  for (const verdict of await Promise.all(waiting)) assert.equal(verdict.is, 'valid')
  assert.equal((await verify(last!)).is, 'valid')
})

test('keys behind an authority of their own, and a login, are fetched with both, read anew each time', async () => {
  const authority = new Authority('kubernetes')
  const { certificate: cert, key } = authority.issue('api')
  const logins: (string | undefined)[] = []
  const secured = createSecureServer({ cert, key }, (request, response) => {
    logins.push(request.headers.authorization)
    serveKeys(request, response)
  })
  await new Promise<void>(resolve => secured.listen(0, '127.0.0.1', resolve))
  const folder = temporaryFolder('issuer')
  try {
    const [authoritiesFile, bearerFile] = [join(folder.path, 'ca.crt'), join(folder.path, 'token')]
    writeFileSync(authoritiesFile, authority.certificate)
    writeFileSync(bearerFile, 'canary-of-the-pod\n')
    // Listening on a host and port, the address is no text.
    const jwksUri = `https://127.0.0.1:${(secured.address() as AddressInfo).port}/openid/v1/jwks`
    const kubernetes = { kind: 'kubernetes', name: 'prod', jwksUri, authoritiesFile, bearerFile } as const
    const { verify, is } = open(kubernetes)
    const sub = 'system:serviceaccount:payments:worker'
    const identity = identityIn(await verify(await make({ claims: { sub } })))
    assert.equal(identity.subject, `oidc:prod:${sub}`)
    assert.equal(await is(await make({ claims: { sub: 'system:node:a' } })), 'refused')
    writeFileSync(bearerFile, 'another')
    await is(await make({ header: { kid: 'two' } }))
    assert.deepEqual(logins, ['Bearer canary-of-the-pod', 'Bearer another'])
    await assert.rejects(
      open({ ...kubernetes, authoritiesFile: null }).is(await make({ claims: { sub } })),
      unavailable,
    )
    await assert.rejects(open({ ...kubernetes, bearerFile: `${bearerFile}s` }).is(await make()), unavailable)
    assert.ok(!warned.join('\n').includes('canary'))
  } finally {
    folder.remove()
    secured.closeAllConnections()
    secured.close()
  }
})
