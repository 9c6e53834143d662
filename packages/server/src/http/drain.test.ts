/** The beginning of a stop, with the time that it is announced for in the test's hands. What follows: test/system/drain.test.ts. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { type Clock, systemClock } from '../clock.ts'
import { ROOT_KEY, type TestServer, withServer } from '../testing.ts'

/** Nothing else waits for just as long. */
const READY_MS = 98_765

/** A connection of its own, as a balancer's probe has: so the listener is open. */
async function readiness({ url }: TestServer): Promise<number> {
  return (await fetch(`${url}/readyz`, { headers: { connection: 'close' } })).status
}

async function openSocket({ url }: TestServer): Promise<{ isToldToGo(): boolean; closed: Promise<unknown> }> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v2/connect`)
  const closed = once(socket, 'close')
  let received = ''
  socket.on('message', data => {
    received += String(data)
    if (received.includes('going_away')) socket.close()
  })
  await once(socket, 'open')
  socket.send(JSON.stringify([{ type: 'hello', authorization: `Bearer ${ROOT_KEY}` }]))
  await once(socket, 'message')
  return { isToldToGo: () => received.includes('going_away'), closed }
}

test('a stop is announced first: balancers read 503 for as long as is set, and everybody is served', async () => {
  let isOver = () => {}
  const clock: Clock = {
    ...systemClock,
    after(delayMs, callback) {
      if (delayMs !== READY_MS) return systemClock.after(delayMs, callback)
      isOver = callback
      return () => {}
    },
  }
  await withServer(
    async server => {
      assert.equal(await readiness(server), 200)
      const early = await openSocket(server)
      let isStopped = false
      const stopped = server.close().then(() => {
        isStopped = true
      })
      assert.equal(await readiness(server), 503)
      assert.equal((await server.ask('POST', '/v1/locks/meanwhile/acquire', { body: {} })).status, 200)
      const late = await openSocket(server)
      assert.deepEqual([early.isToldToGo(), isStopped], [false, false])
      isOver()
      await Promise.all([early.closed, late.closed, stopped])
      assert.ok(early.isToldToGo() && late.isToldToGo())
      await assert.rejects(readiness(server))
    },
    { args: ['--drain-ready-ms', `${READY_MS}`], clock },
  )
})

test('without such a time the server stops at once', async () => {
  await withServer(async server => {
    const socket = await openSocket(server)
    const stopped = server.close()
    await Promise.all([socket.closed, stopped])
    assert.ok(socket.isToldToGo())
  })
})
