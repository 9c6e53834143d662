import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Rest } from '@holdfast/client'
import { type CredentialView, withOlder } from './credentials.ts'

test('a key that is named is revoked with those that it has replaced, and not with others of its subject', async () => {
  const credentials = [
    key('k-1', { replacedBy: 'k-2' }),
    key('k-2', { replacedBy: 'k-4', state: 'revoked' }),
    key('k-3'),
    key('k-4'),
    key('k-5', { name: 'successor', replacedBy: 'k-6' }),
    key('k-6', { name: 'successor' }),
  ]
  // Of all that a service offers only its list of keys is asked for.
  const rest = { call: async () => ({ credentials }) } as unknown as Rest
  const idsWith = async (named: string) => (await withOlder(rest, credentials[3]!, named)).map(({ id }) => id)
  assert.deepEqual(await idsWith('orders'), ['k-4', 'k-1'])
  assert.deepEqual(await idsWith('k-4'), ['k-4'])
})

test('where a key in the middle of its rotations has been deleted, those before it are revoked too', async () => {
  const credentials = [
    key('k-1', { replacedBy: 'k-2' }),
    key('k-2', { replacedBy: 'deleted' }),
    key('k-4', { replacedBy: 'k-5' }),
    key('k-5'),
    key('k-6', { name: 'successor', replacedBy: 'deleted-too' }),
    key('k-7', { subject: 'key:k-7', replacedBy: 'deleted' }),
  ]
  const rest = { call: async () => ({ credentials }) } as unknown as Rest
  const revoked = (await withOlder(rest, credentials[3]!, 'orders')).map(({ id }) => id)
  assert.deepEqual(revoked.sort(), ['k-1', 'k-2', 'k-4', 'k-5'])
})

function key(id: string, more: Partial<CredentialView> = {}): CredentialView {
  return {
    id,
    name: 'orders',
    instance: 'i-1',
    subject: 'key:k-1',
    groups: [],
    roles: ['writer'],
    state: 'active',
    createdAt: '2026-01-01T00:00:00.000Z',
    createdBy: 'root',
    ...more,
  }
}
