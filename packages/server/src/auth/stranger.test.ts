import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemRandom } from '../random.ts'
import { credentialRecord, memoryRegistry } from '../registry/testing.ts'
import { FakeClock } from '../shards/testing.ts'
import { mintKey } from './api-keys.ts'
import { strangerOf } from './stranger.ts'

const { key, secretHash } = mintKey(systemRandom, 'k-1')
const other = mintKey(systemRandom, 'k-1').key
const unknown = mintKey(systemRandom, 'k-9').key
const bearer = (text: string) => `Bearer ${text}`
const clock = new FakeClock()
const record = credentialRecord({ id: 'k-1', secretHash, instance: 'team', subject: 'ci' })
const ended = { state: 'revoked' as const }
const expired = { expiresAtMs: clock.wallMs() - 1 }

const cases = [
  ['a revoked key, whoever stole it', bearer(key), ended, 'ci', 'team', 'credential/k-1', 'The key has been revoked.'],
  ['an expired key', bearer(key), expired, 'ci', 'team', 'credential/k-1', 'The key has expired.'],
  [
    'a key as a password',
    `Basic ${btoa(`x:${key}`)}`,
    ended,
    'ci',
    'team',
    'credential/k-1',
    'The key has been revoked.',
  ],
  ['a wrong secret', bearer(other), {}, '', 'team', 'credential/k-1', 'The secret is not that of the key.'],
  [
    'a wrong secret of a revoked key',
    bearer(other),
    ended,
    '',
    'team',
    'credential/k-1',
    'The secret is not that of the key.',
  ],
  ['a key that is not there', bearer(unknown), {}, '', null, 'credential/k-9', 'There is no such key.'],
  [
    'a key where only tokens are taken',
    bearer(key),
    {},
    'ci',
    'team',
    'credential/k-1',
    'Keys are not taken as they are here, only tokens that are made of them.',
  ],
  ['a token', bearer('ey.a.b'), {}, '', null, 'token', 'The token proves nobody.'],
  [
    'what has not the form of a key',
    bearer(`hfk_<b>_${'x'.repeat(43)}`),
    {},
    '',
    null,
    'credential',
    'It is neither a key nor a token.',
  ],
  ['another scheme', 'Digest x', {}, '', null, 'credential', 'It is neither a key nor a token.'],
] as const

test('of who is refused the trail names the key by its public id, its owner only if the secret was right, and never a secret', () => {
  for (const [name, authorization, fields, subject, instance, target, reason] of cases) {
    const registry = memoryRegistry({ kind: 'credential', id: 'k-1', value: { ...record, ...fields } })
    const stranger = strangerOf({ authorization }, { registry, clock })
    assert.deepEqual(stranger, { subject, instance, target, reason }, name)
    for (const secret of [key, other, unknown]) assert.ok(!JSON.stringify(stranger).includes(secret.slice(-43)), name)
  }
})
