/** Connections, watches and streams that have ended leave nothing behind: a server lives for months, and its clients come and go. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import type { Shards } from '../shards/port.ts'
import type { Doors } from './doors.ts'
import { withDoors } from './testing.ts'

const MANY = 100
const AUTHORIZATION = { authorization: 'Bearer root' }
const GONE_MS_MAX = 5_000

/** How many listeners and watches the shards have been asked for, and not told to stop. */
function counted(shards: Shards): { shards: Shards; open: { listeners: number; watches: number } } {
  const open = { listeners: 0, watches: 0 }
  const counting = (what: keyof typeof open, { stop }: { stop(): void }) => {
    open[what]++
    const once = () => {
      open[what]--
      stop()
    }
    return { stop: once }
  }
  const instead: Partial<Shards> = {
    listen: (...asked) => counting('listeners', shards.listen(...asked)),
    watch: (...asked) => counting('watches', shards.watch(...asked)),
  }
  const proxy = new Proxy(shards, {
    get(target, name: keyof Shards) {
      const own = instead[name] ?? target[name]
      return typeof own === 'function' ? own.bind(target) : own
    },
  })
  return { shards: proxy, open }
}

/** A connection that has said hello, and watches. */
async function watching(url: string): Promise<WebSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v2/connect`, { headers: AUTHORIZATION })
  const replied = new Promise<void>(resolve =>
    socket.on('message', data => JSON.parse(String(data)).some(({ id }: { id?: number }) => id === 1) && resolve()),
  )
  await once(socket, 'open')
  socket.send(JSON.stringify([{ type: 'hello' }]))
  socket.send(JSON.stringify([{ type: 'watch', id: 1, prefix: '' }]))
  await replied
  return socket
}

async function streaming(url: string): Promise<IncomingMessage> {
  const asked = get(`${url}/v2/watch`, { headers: AUTHORIZATION, agent: false })
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  response.on('error', () => {
    // It is broken off below.
  })
  await once(response, 'data')
  return response
}

async function nothing(doors: Doors, open: { listeners: number; watches: number }): Promise<void> {
  const left = () => ({ ...open, standing: doors.standing.count })
  await soon(() => Object.values(left()).every(count => count === 0))
  assert.deepEqual(left(), { listeners: 0, watches: 0, standing: 0 })
}

/** Returns when it is so, or has not become so in time. */
async function soon(isSo: () => boolean): Promise<void> {
  for (const untilMs = performance.now() + GONE_MS_MAX; !isSo() && performance.now() < untilMs; ) await sleep(10)
}

test('connections that close leave no listener, no watch, and nobody to be looked at', async () => {
  await withDoors(async ({ doors, shards, listen }) => {
    const counting = counted(shards)
    doors.shards = counting.shards
    const url = await listen()
    const sockets = await Promise.all(Array.from({ length: MANY }, () => watching(url)))
    assert.deepEqual(counting.open, { listeners: MANY, watches: MANY })
    assert.equal(doors.standing.count, 2 * MANY)
    for (const socket of sockets) socket.terminate()
    await nothing(doors, counting.open)
  })
})

test('a watch that is ended on a connection that stays leaves nobody to be looked at', async () => {
  await withDoors(async ({ doors, shards, listen }) => {
    const counting = counted(shards)
    doors.shards = counting.shards
    const socket = await watching(await listen())
    for (let id = 2; id < MANY; id += 2)
      socket.send(
        JSON.stringify([
          { type: 'watch', id, prefix: 'a' },
          { type: 'unwatch', id: id + 1, watch: id },
        ]),
      )
    socket.send(JSON.stringify([{ type: 'unwatch', id: MANY + 1, watch: 1 }]))
    await soon(() => doors.standing.count === 1)
    assert.deepEqual([doors.standing.count, counting.open], [1, { listeners: 1, watches: 0 }])
    socket.terminate()
    await nothing(doors, counting.open)
  })
})

test('streams that their readers leave leave no watch, and nobody to be looked at', async () => {
  await withDoors(async ({ doors, shards, listen }) => {
    const counting = counted(shards)
    doors.shards = counting.shards
    const url = await listen()
    const streams = await Promise.all(Array.from({ length: MANY }, () => streaming(url)))
    assert.deepEqual([doors.standing.count, counting.open.watches], [MANY, MANY])
    for (const stream of streams) stream.destroy()
    await nothing(doors, counting.open)
  })
})
