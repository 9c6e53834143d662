import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { systemClock } from '../../clock.ts'
import { withDoors } from '../testing.ts'

const TTL_MS = 1_000

test('a client that only asks about its lock keeps it', async () => {
  await withDoors(async ({ listen, ask }) => {
    const url = await listen()
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v2/connect`, {
      headers: { authorization: 'Bearer root' },
    })
    await once(socket, 'open')
    const asked = async (message: object) => {
      socket.send(JSON.stringify([message]))
      const [frame] = await once(socket, 'message')
      return JSON.parse(String(frame))[0]
    }
    await asked({ type: 'hello', ttl_ms: TTL_MS })
    const { grant } = await asked({ type: 'acquire', id: 1, name: 'a', wait_ms: 0 })
    const untilMs = systemClock.hrtimeMs() + 3 * TTL_MS
    for (let id = 2; systemClock.hrtimeMs() < untilMs; id++) await asked({ type: 'show', id, name: 'a' })
    const { body } = await ask('GET', '/v2/locks/a')
    assert.deepEqual([body.state, body.holders[0].token], ['held', grant.token])
    socket.terminate()
  })
})
