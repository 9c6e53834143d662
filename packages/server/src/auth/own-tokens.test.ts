import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { HoldfastError } from '@holdfast/protocol/errors'
import { decodeJwt, decodeProtectedHeader, SignJWT } from 'jose'
import { systemRandom } from '../random.ts'
import type { SignerRecord } from '../registry/records.ts'
import { credentialRecord, instanceRecord, type MemoryRegistry, memoryRegistry } from '../registry/testing.ts'
import { FakeClock } from '../shards/testing.ts'
import { ApiKeys, mintKey } from './api-keys.ts'
import type { Identity } from './identity.ts'
import { OWN_TOKENS_REMEMBERED_MAX, OwnTokens, SIGNING_AT_ONCE_MAX } from './own-tokens.ts'
import { digestOf } from './secrets.ts'
import { SIGNER_SKEW_MS, SIGNER_WAIT_MS, SIGNER_WAITS_MAX, SIGNERS_MAX, SIGNING_MS, TOKEN_MS } from './signers.ts'
import { VERIFYING_MAX } from './tokens.ts'

const issuer = 'https://locks.example.org/identity'

type Server = {
  mint(): Promise<string>
  /** The subject; else how it was found to be. */
  ask(text: string): Promise<string>
  tokens: OwnTokens
  identity(): Identity
}
type World = { clock: FakeClock; registry: MemoryRegistry; server(of?: MemoryRegistry): Server }

/** Servers that know the same records, and a key `k-1` of the instance `i-1`. */
function world(): World {
  const clock = new FakeClock()
  const { secretHash } = mintKey(systemRandom, 'k-1')
  const credential = credentialRecord({ id: 'k-1', instance: 'i-1', roles: ['writer'], secretHash })
  const registry = memoryRegistry(
    { kind: 'instance', id: 'i-1', value: instanceRecord({ id: 'i-1', account: 'a1' }) },
    { kind: 'credential', id: 'k-1', value: credential },
  )
  const server = (of = registry): Server => {
    const keys = new ApiKeys({ registry: of, clock })
    const tokens = new OwnTokens({ registry: of, keys, clock, random: systemRandom })
    const identity = () => {
      const verdict = keys.standing('k-1')
      return verdict.is === 'valid' ? verdict.identity : assert.fail(verdict.is)
    }
    return {
      tokens,
      identity,
      mint: async () => (await tokens.mint(identity(), issuer)).text,
      ask: async text => {
        if (!OwnTokens.isForm(text)) return 'none of ours'
        const verdict = await tokens.verify(text, digestOf(text))
        return verdict.is === 'valid' ? verdict.identity.subject : verdict.is
      },
    }
  }
  return { clock, registry, server }
}

test('a token is for its key, on every server, and says what IBM’s say of service ids', async () => {
  const { server, clock } = world()
  const [one, other] = [server(), server()]
  const text = await one.mint()
  for (const either of [one, other, one]) assert.equal(await either.ask(text), 'key:k-1')
  const verdict = await other.tokens.verify(text, digestOf(text))
  assert.ok(verdict.is === 'valid')
  const { kind, credential, instance, roles } = verdict.identity
  assert.deepEqual([kind, credential, instance, roles], ['key', 'k-1', 'i-1', ['writer']])
  const claims = decodeJwt(text)
  assert.deepEqual([claims.iam_id, claims.sub_type, claims.iss], ['iam-ServiceId-k-1', 'ServiceId', issuer])
  assert.deepEqual(claims.account, { bss: 'a1', valid: true, frozen: false })
  assert.equal(Number(claims.exp) - Number(claims.iat), TOKEN_MS / 1_000)
  assert.equal(decodeProtectedHeader(text).alg, 'RS256')
  assert.equal(verdict.identity.expiresAtMs, Math.floor(clock.wallMs() / 1_000) * 1_000 + TOKEN_MS + SIGNER_SKEW_MS)
})

test('a token is good for an hour and the skew of the clocks, and not a millisecond longer, remembered or not', async () => {
  const { server, clock } = world()
  const [one, other] = [server(), server()]
  const text = await one.mint()
  clock.pause(TOKEN_MS + SIGNER_SKEW_MS - 1)
  assert.equal(await one.ask(text), 'key:k-1')
  clock.pause(1)
  assert.deepEqual([await one.ask(text), await other.ask(text)], ['refused', 'refused'])
})

test('a token ends with its key: revoked, expired or deleted, from the next request on', async () => {
  const { server, registry, clock } = world()
  const one = server()
  const text = await one.mint()
  const record = registry.get('credential', 'k-1')!
  const put = (value: typeof record | null) => registry.put({ kind: 'credential', id: 'k-1', value })
  const expiresAtMs = clock.wallMs() + 10
  put({ ...record, expiresAtMs, roles: ['reader'] })
  const verdict = await one.tokens.verify(text, digestOf(text))
  assert.ok(verdict.is === 'valid')
  assert.deepEqual([verdict.identity.roles, verdict.identity.expiresAtMs], [['reader'], expiresAtMs], 'as it is now')
  clock.pause(10)
  assert.equal(await one.ask(text), 'refused')
  put(record)
  assert.equal(await one.ask(text), 'key:k-1')
  for (const ended of [{ ...record, state: 'revoked' as const }, null]) {
    put(ended)
    assert.deepEqual([await one.ask(text), await server().ask(text)], ['refused', 'refused'])
  }
})

test('what nobody here has signed, or has signed for something else, is no token of ours', async () => {
  const { server, registry } = world()
  const one = server()
  const text = await one.mint()
  const { kid = '' } = decodeProtectedHeader(text)
  const claims = decodeJwt(text)
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
  const header = { alg: 'RS256', typ: 'JWT', kid }
  const [head = '', body = '', signature = ''] = text.split('.')
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const { n } = registry.get('signer', kid)!
  const symmetric = `${part({ ...header, alg: 'HS256' })}.${body}`
  const forged = [
    await new SignJWT(claims).setProtectedHeader(header).sign(privateKey),
    `${head}.${part({ ...claims, credential: 'k-2' })}.${signature}`,
    `${head}.${body}.${signature.slice(0, -4)}AAAA`,
    `${head}.${body}.`,
  ]
  for (const wrong of forged) {
    assert.equal(await one.ask(wrong), 'wrong')
    assert.equal((await one.tokens.verify(wrong, digestOf(wrong))).is, 'wrong')
  }
  const otherwise = [
    `${part({ ...header, alg: 'none' })}.${body}.`,
    `${symmetric}.${createHmac('sha256', n).update(symmetric).digest('base64url')}`,
    `${part({ alg: 'RS256', kid: 'other' })}.${body}.${signature}`,
  ]
  for (const foreign of ['', 'ey', 'a.b.c', ...otherwise]) {
    assert.equal(await one.ask(foreign), 'none of ours')
    assert.equal((await one.tokens.verify(foreign, digestOf(foreign))).is, 'wrong', 'nor would it be valid as one')
  }
})

test('a token may be quicker than the record of its key, which is waited for, but not for ever', async () => {
  const { server, registry, clock } = world()
  const text = await server().mint()
  const { kid = '' } = decodeProtectedHeader(text)
  const value = registry.get('signer', kid)!
  const late = memoryRegistry({ kind: 'credential', id: 'k-1', value: registry.get('credential', 'k-1')! })
  const behind = server(late)
  const never = behind.ask(text)
  await clock.pass(SIGNER_WAIT_MS)
  assert.equal(await never, 'wrong')
  const asked = Array.from({ length: SIGNER_WAITS_MAX }, () => behind.ask(text))
  assert.equal(await behind.ask(text), 'wrong', 'beyond SIGNER_WAITS_MAX nobody waits')
  late.put({ kind: 'signer', id: kid, value })
  assert.deepEqual(new Set(await Promise.all(asked)), new Set(['key:k-1']))
  assert.equal(await behind.ask(text), 'key:k-1')
})

test('a key signs for a day, its tokens outlive it, and the private half is nowhere', async () => {
  const { server, registry, clock } = world()
  const one = server()
  const kids = () => [...registry.all('signer')].map(({ id }) => id)
  const kidOf = (text: string) => decodeProtectedHeader(text).kid ?? ''
  await one.mint()
  clock.pause(SIGNING_MS - 1)
  const last = await one.mint()
  assert.deepEqual(kids(), [kidOf(last)])
  clock.pause(1)
  const next = await one.mint()
  assert.notEqual(kidOf(next), kidOf(last))
  assert.equal(await server().ask(last), 'key:k-1')
  assert.deepEqual(one.tokens.keySet().keys.length, 2)
  assert.deepEqual(Object.keys(one.tokens.keySet().keys[0] ?? {}).sort(), ['alg', 'e', 'kid', 'kty', 'n', 'use'])
  assert.deepEqual(Object.keys(registry.get('signer', kidOf(next))!).sort(), [
    'createdAtMs',
    'e',
    'endsAtMs',
    'id',
    'n',
  ])
  clock.pause(SIGNING_MS)
  assert.equal(await server().ask(last), 'refused')
  const third = await one.mint()
  assert.deepEqual(kids().sort(), [kidOf(next), kidOf(third)].sort(), 'what has ended is gone')
})

test('a key that is withdrawn ends its tokens, remembered ones too, and another one signs', async () => {
  const { server, registry } = world()
  const one = server()
  const text = await one.mint()
  assert.equal(await one.ask(text), 'key:k-1')
  const { kid = '' } = decodeProtectedHeader(text)
  registry.put({ kind: 'signer', id: kid, value: null })
  assert.equal(await one.ask(text), 'refused')
  assert.equal(await one.ask(await one.mint()), 'key:k-1')
})

test('of SIGNERS_MAX records the one that ends first makes room', async () => {
  const { server, registry, clock } = world()
  const record = (index: number): SignerRecord => ({
    id: `holdfast-${index.toString(16).padStart(24, '0')}`,
    n: '',
    e: '',
    createdAtMs: 0,
    endsAtMs: clock.wallMs() + 1_000 + index,
  })
  const many = Array.from({ length: SIGNERS_MAX }, (_, index) => record(index))
  registry.put(...many.map(value => ({ kind: 'signer' as const, id: value.id, value })))
  await server().mint()
  assert.equal([...registry.all('signer')].length, SIGNERS_MAX)
  assert.equal(registry.get('signer', record(0).id), null)
  assert.ok(registry.get('signer', record(1).id))
})

test('SIGNING_AT_ONCE_MAX tokens are signed at once, and OWN_TOKENS_REMEMBERED_MAX remembered', async () => {
  const one = world().server()
  const all = Array.from({ length: SIGNING_AT_ONCE_MAX }, () => one.mint())
  await assert.rejects(one.mint(), error => error instanceof HoldfastError && error.code === 'rate_limited')
  assert.equal(new Set(await Promise.all(all)).size, SIGNING_AT_ONCE_MAX)
  assert.equal(await one.ask(await one.mint()), 'key:k-1')
  assert.equal(OWN_TOKENS_REMEMBERED_MAX, 10_000)
})

test('VERIFYING_MAX tokens are looked at together', async () => {
  const { server } = world()
  const text = await server().mint()
  const other = server()
  const all = Array.from({ length: VERIFYING_MAX }, () => other.ask(text))
  await assert.rejects(other.ask(text), error => error instanceof HoldfastError && error.code === 'rate_limited')
  assert.deepEqual(new Set(await Promise.all(all)), new Set(['key:k-1']))
  assert.equal(await other.ask(text), 'key:k-1')
})

test('the root key is never exchanged', async () => {
  const one = world().server()
  await assert.rejects(one.tokens.mint({ ...one.identity(), credential: null }, issuer), /only keys/)
})
