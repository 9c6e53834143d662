/** Tokens against real sockets: what must be refused, however it is signed, and what is remembered of those that are good. */
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { HoldfastError } from '@holdfast/protocol/errors'
import { TOKEN_CHARS_MAX } from '@holdfast/protocol/limits'
import { exportJWK } from 'jose'
import { encoded, identityIn, type Pair, pairs, published, testIssuer, until } from './testing.ts'
import { TOKENS_REMEMBERED_MAX, VERIFYING_MAX } from './tokens.ts'

const { issuer, open, make } = testIssuer()

test('a good token is looked at once, and then answered at once', async () => {
  const { verify } = open()
  const token = await make()
  const first = verify(token)
  assert.ok(first instanceof Promise)
  const identity = identityIn(await first)
  assert.equal(identity.subject, 'oidc:corporate:ann')
  assert.equal(identity.expiresAtMs, issuer.clock.wallMs() + 630_000)
  const again = verify(token)
  assert.ok(!(again instanceof Promise))
  assert.equal(identityIn(again), identity)
  assert.equal(issuer.requests, 1)
})

test('those who bring the same token at once wait for the same check', async () => {
  const { verify } = open()
  const token = await make()
  const [one, other] = [verify(token), verify(token)]
  assert.equal(one, other)
  assert.equal((await one).is, 'valid')
})

test('each kind of key that is allowed is good, if the token says what the key is for', async () => {
  issuer.keys = [
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
    String(issuer.keys[0]?.n),
    JSON.stringify(issuer.keys[0]),
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
  const begun = issuer.requests
  for (const header of [{ jwk }, { jku: `${issuer.url}/evil` }, { x5u: `${issuer.url}/evil` }, { x5c: ['AAAA'] }])
    assert.equal(await is(await make({ header, pair: pairs.other })), 'wrong')
  assert.ok(issuer.requests - begun <= 1, 'but for the keys themselves')
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
  const { is } = open(
    { jwksUri: `${issuer.url}/keys` },
    { name: 'second', issuer: second, jwksUri: `${issuer.url}/second` },
  )
  const others = [await published(pairs.other, { kid: 'one' })]
  issuer.serve = (request, response) =>
    request.url === '/second' ? response.end(JSON.stringify({ keys: others })) : issuer.serveKeys(request, response)
  assert.equal(await is(await make()), 'valid')
  assert.equal(await is(await make({ claims: { iss: second } })), 'wrong')
  assert.equal(await is(await make({ claims: { iss: second }, pair: pairs.other })), 'valid')
})

test('a token is good up to the clock skew after it expires, and not a millisecond longer, remembered or not', async () => {
  const { is } = open()
  const token = await make({ claims: { exp: issuer.clock.wallMs() / 1_000 + 60 } })
  const other = await make({ claims: { exp: issuer.clock.wallMs() / 1_000 + 60, sub: 'bob' } })
  assert.equal(await is(token), 'valid')
  issuer.clock.pause(89_999)
  assert.deepEqual([await is(token), await is(await other)], ['valid', 'valid'])
  issuer.clock.pause(1)
  const third = await make({ claims: { exp: issuer.clock.wallMs() / 1_000 - 30, sub: 'cy' } })
  assert.deepEqual([await is(token), await is(other), await is(third)], ['refused', 'refused', 'refused'])
  issuer.clock.pause(60 * 60_000)
  assert.equal(await is(token), 'refused', 'replayed much later')
})

test('a token is good from the clock skew before it begins, and not a millisecond earlier', async () => {
  const { is } = open()
  const beginsS = issuer.clock.wallMs() / 1_000 + 60
  const later = { exp: beginsS + 600, iat: issuer.clock.wallMs() / 1_000 }
  const token = await make({ claims: { ...later, nbf: beginsS } })
  const issued = await make({ claims: { ...later, iat: beginsS } })
  issuer.clock.pause(29_999)
  assert.deepEqual([await is(token), await is(issued)], ['refused', 'refused'])
  issuer.clock.pause(1)
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

test('of more than TOKENS_REMEMBERED_MAX tokens those that were not seen for longest are forgotten', async () => {
  issuer.keys = [await published(pairs.EdDSA, { kid: 'one' })]
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
  issuer.keys = [await published(pairs.EdDSA, { kid: 'one' })]
  let release = () => undefined as unknown
  issuer.serve = (request, response) => {
    release = () => issuer.serveKeys(request, response)
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
  await until(() => issuer.requests === 1)
  release()
  for (const verdict of await Promise.all(waiting)) assert.equal(verdict.is, 'valid')
  assert.equal((await verify(last!)).is, 'valid')
})
