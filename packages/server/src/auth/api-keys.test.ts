import assert from 'node:assert/strict'
import { timingSafeEqual } from 'node:crypto'
import { test } from 'node:test'
import { systemRandom } from '../random.ts'
import type { CredentialRecord } from '../registry/records.ts'
import { credentialRecord, memoryRegistry } from '../registry/testing.ts'
import { FakeClock } from '../shards/testing.ts'
import { ApiKeys, mintKey, parseKey } from './api-keys.ts'
import { digestOf } from './secrets.ts'

const { key, secretHash } = mintKey(systemRandom, 'k-1')
const parsed = parseKey(key)!

function keysWith(fields: Partial<CredentialRecord>, clock = new FakeClock()) {
  const value = credentialRecord({ id: 'k-1', secretHash, ...fields })
  const registry = memoryRegistry({ kind: 'credential', id: 'k-1', value })
  return { keys: new ApiKeys({ registry, clock }), registry, clock, value }
}

test('a key has its id in it and 256 random bits, of which only the hash is for keeping', () => {
  assert.match(key, /^hfk_k-1_[A-Za-z0-9_-]{43}$/)
  assert.equal(parsed.id, 'k-1')
  assert.equal(Buffer.from(parsed.secret, 'base64url').length, 32)
  assert.equal(secretHash, digestOf(parsed.secret).toString('base64url'))
  assert.notEqual(mintKey(systemRandom, 'k-1').key, key)
  for (const id of ['', 'A', 'a_b', 'a'.repeat(65), 'ü']) assert.throws(() => mintKey(systemRandom, id))
})

test('only what has the form of a key is one', () => {
  const { secret } = parsed
  for (const text of [
    '',
    'hfk_',
    `hfk_k-1${secret}`,
    `hfk_K-1_${secret}`,
    `hfk__${secret}`,
    `hfk_${'a'.repeat(65)}_${secret}`,
    `hfk_k-1_${secret.slice(1)}`,
    `hfk_k-1_${secret}x`,
    `hfk_k-1_${secret}\n`,
    ` ${key}`,
    `HFK_k-1_${secret}`,
  ])
    assert.equal(parseKey(text), null, JSON.stringify(text))
  // Secrets may hold underscores: the id ends at the first.
  assert.deepEqual(parseKey(`hfk_a_${'_'.repeat(43)}`), { id: 'a', secret: '_'.repeat(43) })
})

test('a valid key is whom its record says', () => {
  const { keys } = keysWith({
    subject: 'service-orders',
    groups: ['ops', 'group:dev'],
    roles: ['writer'],
    instance: 'i-1',
  })
  const verdict = keys.verify(parsed)
  assert.deepEqual(verdict, {
    is: 'valid',
    identity: {
      subject: 'service-orders',
      groups: ['group:ops', 'group:dev'],
      kind: 'key',
      credential: 'k-1',
      account: null,
      instance: 'i-1',
      roles: ['writer'],
      expiresAtMs: null,
      scope: null,
    },
  })
  assert.equal(keys.verify(parsed), verdict, 'and nothing is made anew for the next request')
})

test('a key never passes for the operator, for everybody, or for a group, whatever its record says', () => {
  for (const subject of ['root', '*', '*a', 'group:ops']) {
    const verdict = keysWith({ subject }).keys.verify(parsed)
    assert.deepEqual(verdict.is === 'valid' && [verdict.identity.subject, verdict.identity.kind], ['key:k-1', 'key'])
  }
})

test('a wrong secret, an unknown id and a damaged record are all the same', () => {
  const { keys, registry } = keysWith({})
  const other = parseKey(mintKey(systemRandom, 'k-1').key)!
  assert.deepEqual(keys.verify(other), { is: 'wrong' })
  assert.deepEqual(keys.verify({ ...parsed, id: 'k-2' }), { is: 'wrong' })
  for (const damaged of ['', 'AAAA', secretHash.slice(0, -2)]) {
    registry.put({ kind: 'credential', id: 'k-1', value: credentialRecord({ id: 'k-1', secretHash: damaged }) })
    assert.deepEqual(keys.verify(parsed), { is: 'wrong' }, damaged)
  }
  // What unknown keys are compared with must not be what anybody can store or send.
  assert.deepEqual(keys.verify({ id: 'k-2', secret: '' }), { is: 'wrong' })
})

test('a revoked key has ended at once, and whoever has not its secret does not learn that', () => {
  const { keys, registry, value } = keysWith({})
  assert.equal(keys.verify(parsed).is, 'valid')
  registry.put({ kind: 'credential', id: 'k-1', value: { ...value, state: 'revoked' } })
  assert.deepEqual(keys.verify(parsed), { is: 'ended' })
  assert.deepEqual(keys.verify({ ...parsed, secret: 'x'.repeat(43) }), { is: 'wrong' })
  registry.put({ kind: 'credential', id: 'k-1', value: null })
  assert.deepEqual(keys.verify(parsed), { is: 'wrong' })
})

test('a key is good until the last millisecond before it expires, by the wall clock', () => {
  const clock = new FakeClock()
  const { keys } = keysWith({ expiresAtMs: clock.wallMs() + 1_000 }, clock)
  clock.pause(999)
  assert.equal(keys.verify(parsed).is, 'valid')
  clock.pause(1)
  assert.deepEqual(keys.verify(parsed), { is: 'ended' })
})

test('a key that was rotated goes on beside the new one until it expires', () => {
  const clock = new FakeClock()
  const { keys, registry } = keysWith({ replacedBy: 'k-2', expiresAtMs: clock.wallMs() + 60_000 }, clock)
  const next = mintKey(systemRandom, 'k-2')
  registry.put({ kind: 'credential', id: 'k-2', value: credentialRecord({ id: 'k-2', secretHash: next.secretHash }) })
  const both = () => [keys.verify(parsed).is, keys.verify(parseKey(next.key)!).is]
  assert.deepEqual(both(), ['valid', 'valid'])
  clock.pause(60_000)
  assert.deepEqual(both(), ['ended', 'valid'])
})

test('the same work is done whether the key is known, wrong, revoked, or nobody has heard of it', () => {
  const done: string[] = []
  const work = {
    digest(text: string) {
      done.push(`digest of ${text.length}`)
      return digestOf(text)
    },
    isEqual(one: Buffer, other: Buffer) {
      done.push(`comparison of ${one.length} and ${other.length}`)
      return timingSafeEqual(one, other)
    },
  }
  const { registry, clock, value } = keysWith({})
  registry.put({ kind: 'credential', id: 'k-3', value: { ...value, id: 'k-3', state: 'revoked' } })
  registry.put({ kind: 'credential', id: 'k-4', value: { ...value, id: 'k-4', secretHash: 'AA' } })
  const keys = new ApiKeys({ registry, clock, work })
  const tried = [parsed, { ...parsed, secret: 'x'.repeat(43) }, ...['k-2', 'k-3', 'k-4'].map(id => ({ ...parsed, id }))]
  for (const one of tried) {
    done.length = 0
    keys.verify(one)
    assert.deepEqual(done, ['digest of 43', 'comparison of 32 and 32'], one.id)
  }
})
