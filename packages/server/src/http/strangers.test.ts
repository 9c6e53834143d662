import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { mintKey } from '../auth/api-keys.ts'
import { person } from '../policies/testing.ts'
import { systemRandom } from '../random.ts'
import type { Deed, Put } from '../registry/port.ts'
import { credentialRecord, instanceRecord } from '../registry/testing.ts'
import { withDoors } from './testing.ts'

const denialsOf = (noted: readonly Deed[]) =>
  noted.map(({ by, action, instance, target, outcome, status }) =>
    [by, action, instance, target, outcome, status].join(' '),
  )

test('who reaches for another instance is in the trail of their own, and a wrong session secret in that where it was tried', async () => {
  const ed = person({ subject: 'key:ed', instance: 'a', roles: ['manager'] })
  const puts = ['a', 'b'].map((id): Put => ({ kind: 'instance', id, value: instanceRecord({ id }) }))
  await withDoors(
    async ({ ask, listen, registry }) => {
      const inB = { 'holdfast-instance': 'b' }
      assert.equal((await ask('GET', '/v2/locks', { key: 'ed', headers: inB })).status, 404)
      assert.equal((await ask('GET', '/v2/locks', { key: 'mo', headers: inB })).status, 404)
      const session = 's-1.wrongwrongwrongwrongwron'
      assert.equal((await ask('POST', '/v2/sessions/s-1/renew', { key: 'ed', session, body: {} })).status, 401)
      const socket = new WebSocket(`${(await listen()).replace('http', 'ws')}/v2/connect`, {
        headers: { authorization: 'Bearer ed' },
      })
      await new Promise(resolve => socket.once('open', resolve))
      socket.send(JSON.stringify([{ type: 'hello', session }]))
      await new Promise(resolve => socket.once('close', resolve))
      assert.deepEqual(denialsOf(registry.noted), [
        'key:ed instance.enter a instance/b denied 404',
        'iam:mo instance.enter default instance/b denied 404',
        'key:ed authenticate a session denied 401',
        'key:ed authenticate a session denied 401',
      ])
    },
    { puts, people: { ed, mo: person({ subject: 'iam:mo', kind: 'token' }) } },
  )
})

const { key, secretHash } = mintKey(systemRandom, 'k-1')
const value = credentialRecord({ id: 'k-1', secretHash, instance: 'default', state: 'revoked' })

test('whoever goes on using a revoked key is in the trail by its name, whichever door they try', async () => {
  await withDoors(
    async ({ ask, listen, registry }) => {
      const url = await listen()
      const socketUrl = `${url.replace('http', 'ws')}/v2/connect`
      const authorization = `Bearer ${key}`
      assert.equal((await ask('GET', '/v2/locks', { key })).status, 401)
      assert.equal((await ask('GET', '/metrics', { key })).status, 401)
      const turnedAway = new WebSocket(socketUrl, { headers: { authorization } })
      await new Promise(resolve => turnedAway.once('error', resolve))
      const greeted = new WebSocket(socketUrl)
      await new Promise(resolve => greeted.once('open', resolve))
      greeted.send(JSON.stringify([{ type: 'hello', authorization }]))
      await new Promise(resolve => greeted.once('close', resolve))
      const noted = registry.noted.map(({ by, action, instance, target, outcome, status, reason }) =>
        [by, action, instance, target, outcome, status, reason].join(' '),
      )
      const expected = 'key:k-1 authenticate default credential/k-1 denied 401 The key has been revoked.'
      assert.deepEqual(noted, Array(4).fill(expected))
      assert.ok(!JSON.stringify(registry.noted).includes(key.slice(-43)))
    },
    { puts: [{ kind: 'credential', id: 'k-1', value }] },
  )
})
