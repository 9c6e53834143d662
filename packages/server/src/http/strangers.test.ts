import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { mintKey } from '../auth/api-keys.ts'
import { systemRandom } from '../random.ts'
import { credentialRecord } from '../registry/testing.ts'
import { withDoors } from './testing.ts'

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
