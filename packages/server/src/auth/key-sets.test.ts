/** The keys of an issuer over real sockets: which of them are used, and what becomes of tokens when it changes its keys or is away. */
import assert from 'node:assert/strict'
import { sign } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { HoldfastError } from '@holdfast/protocol/errors'
import { Authority } from '../../../../test/harness/certificates.ts'
import { temporaryFolder } from '../../../../test/harness/process.ts'
import { FETCH_MS_MAX, FETCHED_BYTES_MAX } from './fetch-json.ts'
import { COOLDOWN_MS, ISSUER_KEYS_MAX, REFRESH_MS } from './key-sets.ts'
import { encoded, identityIn, pairs, published, testIssuer, until } from './testing.ts'

const { issuer, open, make } = testIssuer()
const unavailable = (error: unknown) => error instanceof HoldfastError && error.code === 'unavailable'

test('a key that is rotated in while running is found, and the one before it goes on', async () => {
  const { is } = open()
  const before = await make()
  assert.equal(await is(before), 'valid')
  issuer.keys = [...issuer.keys, await published(pairs.other, { kid: 'two', alg: 'RS256' })]
  assert.equal(await is(await make({ header: { kid: 'two' }, pair: pairs.other })), 'valid')
  assert.equal(await is(await make({ claims: { sub: 'bob' } })), 'valid')
  assert.equal(issuer.requests, 2)
})

test('a key that is withdrawn takes with it what was remembered of its tokens', async () => {
  const { is } = open()
  const token = await make()
  assert.equal(await is(token), 'valid')
  issuer.keys = [await published(pairs.other, { kid: 'two' })]
  assert.equal(await is(token), 'valid', 'as long as nobody has told us')
  await issuer.clock.pass(REFRESH_MS - 1)
  assert.equal(issuer.requests, 1)
  await issuer.clock.pass(1)
  const fresh = await make({ claims: { sub: 'bob' } })
  await until(async () => (await is(fresh)) !== 'valid')
  assert.equal(await is(await make({ header: { kid: 'two' }, pair: pairs.other })), 'valid')
  // The first one has expired by now; one that has not must be gone too.
  assert.equal(await is(token), 'refused')
})

test('a remembered token is forgotten with its key long before it expires', async () => {
  const { is } = open()
  const token = await make({ claims: { exp: issuer.clock.wallMs() / 1_000 + 86_400 } })
  assert.equal(await is(token), 'valid')
  // The same name for another key is another key.
  issuer.keys = [await published(pairs.other, { kid: 'one', alg: 'RS256' })]
  await issuer.clock.pass(REFRESH_MS)
  await until(async () => (await is(token)) === 'wrong')
})

test('names of keys that nobody knows cause one fetch in COOLDOWN_MS', async () => {
  const { is } = open()
  assert.equal(await is(await make()), 'valid')
  const guess = async (kid: string) => is(await make({ header: { kid }, pair: pairs.other }))
  for (let count = 0; count < 20; count++) assert.equal(await guess(`guess-${count}`), 'wrong')
  assert.equal(issuer.requests, 2)
  issuer.clock.pause(COOLDOWN_MS - 1)
  assert.equal(await guess('guess'), 'wrong')
  assert.equal(issuer.requests, 2)
  issuer.clock.pause(1)
  assert.equal(await guess('guess'), 'wrong')
  assert.equal(issuer.requests, 3)
})

test('without a name of a key it must be the only one that it can be', async () => {
  const { is } = open()
  const unnamed = (sub: string) => make({ header: { kid: undefined }, claims: { sub } })
  assert.equal(await is(await unnamed('ann')), 'valid')
  issuer.keys = [...issuer.keys, await published(pairs.other, { kid: 'two', alg: 'RS256' })]
  await issuer.clock.pass(REFRESH_MS)
  // Each look with a token of its own: what was found good with the keys of before is remembered.
  let looks = 0
  await until(async () => (await is(await unnamed(`${++looks}`))) === 'wrong')
})

test('while the issuer is away its known keys go on, and what names another cannot be decided', async () => {
  const { is } = open()
  assert.equal(await is(await make()), 'valid')
  issuer.serve = (_request, response) => response.writeHead(500).end('{"keys":[]}')
  await issuer.clock.pass(REFRESH_MS)
  await until(() => issuer.requests === 2)
  assert.equal(await is(await make({ claims: { sub: 'bob' } })), 'valid')
  const unknown = await make({ header: { kid: 'two' }, pair: pairs.other })
  await assert.rejects(is(unknown), unavailable)
  const asked = issuer.requests
  await assert.rejects(is(unknown), unavailable)
  assert.equal(issuer.requests, asked, 'and is not asked again for a while')
  issuer.serve = issuer.serveKeys
  issuer.keys = [...issuer.keys, await published(pairs.other, { kid: 'two', alg: 'RS256' })]
  issuer.clock.pause(COOLDOWN_MS)
  assert.equal(await is(unknown), 'valid')
})

test('an issuer that is away from the start is asked again when it is needed', async () => {
  issuer.serve = (_request, response) => response.destroy()
  const { is } = open()
  await assert.rejects(is(await make()), unavailable)
  issuer.serve = issuer.serveKeys
  issuer.clock.pause(COOLDOWN_MS)
  assert.equal(await is(await make()), 'valid')
})

test('an issuer that answers slower than FETCH_MS_MAX is as good as away', async () => {
  issuer.serve = () => undefined
  const { is } = open()
  const token = await make()
  const answer = is(token)
  await until(() => issuer.requests === 1)
  await issuer.clock.pass(FETCH_MS_MAX)
  // The one that it then asks for itself.
  await until(() => issuer.requests === 2)
  await issuer.clock.pass(FETCH_MS_MAX)
  await assert.rejects(answer, unavailable)
  // One that begins to answer and does not go on is no better.
  issuer.serve = (_request, response) => response.write('{')
  issuer.clock.pause(COOLDOWN_MS)
  const later = is(token)
  await until(() => issuer.requests === 3)
  await issuer.clock.pass(FETCH_MS_MAX)
  await assert.rejects(later, unavailable)
  assert.ok(issuer.warned.at(-1)?.includes(`took longer than ${FETCH_MS_MAX} ms`), issuer.warned.at(-1))
})

test('an answer of FETCHED_BYTES_MAX is read, a larger one is not, and no redirect is followed', async () => {
  const padded = (bytes: number) => JSON.stringify({ keys: issuer.keys }).padEnd(bytes)
  issuer.serve = (_request, response) => response.end(padded(FETCHED_BYTES_MAX))
  assert.equal(await open().is(await make()), 'valid')
  issuer.serve = (_request, response) => response.end(padded(FETCHED_BYTES_MAX + 1))
  await assert.rejects(open().is(await make()), unavailable)
  issuer.serve = (request, response) =>
    request.url === '/keys'
      ? response.writeHead(302, { location: '/elsewhere' }).end()
      : issuer.serveKeys(request, response)
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
    issuer.serve = (_request, response) => response.end(body)
    issuer.clock.pause(COOLDOWN_MS)
    await assert.rejects(is(await make({ header: { kid: 'two' } })), unavailable, body)
    assert.equal(await is(await make({ claims: { sub: body } })), 'valid', body)
  }
})

test('keys for encryption, and RSA keys that are too short, are not used', async () => {
  issuer.keys = [
    await published(pairs.other, { kid: 'enc', use: 'enc' }),
    await published(pairs.other, { kid: 'wrap', key_ops: ['wrapKey'] }),
    await published(pairs.short, { kid: 'short' }),
    await published(pairs.ES384, { kid: 'curve' }),
    ...issuer.keys,
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
    Array.from({ length: count }, (_, index) => ({ ...issuer.keys[0], kid: `filler-${index}` }))
  const [own] = issuer.keys
  issuer.keys = [...filler(ISSUER_KEYS_MAX - 1), own!]
  assert.equal(await open().is(await make()), 'valid')
  issuer.keys = [...filler(ISSUER_KEYS_MAX), own!]
  assert.equal(await open().is(await make()), 'wrong')
})

test('discovery is believed only if it is of the issuer itself', async () => {
  let configuration: object = {}
  issuer.serve = (request, response) => {
    if (request.url?.endsWith('/.well-known/openid-configuration')) response.end(JSON.stringify(configuration))
    else issuer.serveKeys(request, response)
  }
  const own = { issuer: `${issuer.url}/identity`, jwksUri: null }
  const token = () => make({ claims: { iss: own.issuer } })
  configuration = { issuer: own.issuer, jwks_uri: `${issuer.url}/keys` }
  assert.equal(await open(own).is(await token()), 'valid')
  for (const bad of [
    { issuer: 'https://evil.example', jwks_uri: `${issuer.url}/keys` },
    { issuer: own.issuer },
    { issuer: own.issuer, jwks_uri: 'http://evil.example/keys' },
    { issuer: own.issuer, jwks_uri: 'file:///etc/passwd' },
    { issuer: own.issuer, jwks_uri: 1 },
  ]) {
    configuration = bad
    await assert.rejects(open(own).is(await token()), unavailable, JSON.stringify(bad))
  }
})

test('keys behind an authority of their own, and a login, are fetched with both, read anew each time', async () => {
  const authority = new Authority('kubernetes')
  const { certificate: cert, key } = authority.issue('api')
  const logins: (string | undefined)[] = []
  const secured = createServer({ cert, key }, (request, response) => {
    logins.push(request.headers.authorization)
    issuer.serveKeys(request, response)
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
    assert.ok(!issuer.warned.join('\n').includes('canary'))
  } finally {
    folder.remove()
    secured.closeAllConnections()
    secured.close()
  }
})

/** Something happens when a signature has been found to be good, and before that is known to whoever asked. */
function whileChecking(t: TestContext, act: () => Promise<void>): void {
  const { subtle } = globalThis.crypto
  const verify = subtle.verify.bind(subtle)
  const restore = () => void Reflect.deleteProperty(subtle, 'verify')
  subtle.verify = async (...asked: Parameters<typeof verify>) => {
    const isGood = await verify(...asked)
    restore()
    await act()
    return isGood
  }
  t.after(restore)
}

test('a token whose key is withdrawn while its signature is being checked is refused, and not remembered', async t => {
  const { is } = open()
  assert.equal(await is(await make()), 'valid', 'the keys are known')
  const token = await make({ claims: { exp: issuer.clock.wallMs() / 1_000 + 86_400 } })
  whileChecking(t, async () => {
    issuer.keys = [await published(pairs.other, { kid: 'two' })]
    await issuer.clock.pass(REFRESH_MS)
    await until(async () => (await is(await make({ header: { kid: 'two' }, pair: pairs.other }))) === 'valid')
  })
  assert.equal(await is(token), 'refused')
  assert.equal(await is(token), 'wrong')
})

test('a token whose time is over while its signature is being checked is refused', async t => {
  const { is } = open()
  assert.equal(await is(await make()), 'valid')
  const token = await make({ claims: { sub: 'bob' } })
  whileChecking(t, async () => issuer.clock.pause(630_000))
  assert.equal(await is(token), 'refused')
})
