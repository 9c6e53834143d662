/** A decision point that does not answer: nothing is permitted, and nobody is told that their rights are gone. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get } from 'node:http'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import type { LockEvent } from '@holdfast/protocol/events'
import { CONNECTION_WATCHES_MAX } from '@holdfast/protocol/limits'
import { WebSocket } from 'ws'
import type { Decision, DecisionPoint, Verdict } from '../policies/port.ts'
import { person } from '../policies/testing.ts'
import { memoryRegistry } from '../registry/testing.ts'
import { FakeClock } from '../shards/testing.ts'
import type { Json } from '../testing.ts'
import { EventFilter, UNDECIDED_EVENTS_MAX } from './event-filter.ts'
import { Standing } from './standing.ts'
import { withDoors } from './testing.ts'

const ann = person({ instance: 'default' })
const unknown: Decision = { permitted: false, why: 'It does not answer.', policy: null, isUnknown: true }
const silent: DecisionPoint = {
  decide: () => unknown,
  mayAny: () => null,
  patterns: () => null,
  mayEnter: () => true,
}
/** The same, after a while. */
const slow: DecisionPoint = { ...silent, decide: async () => unknown, mayAny: async () => null }

const asked = [
  ['GET', '/v2/whoami'],
  ['GET', '/v2/locks'],
  ['GET', '/v2/locks/a'],
  ['GET', '/v2/locks/a/value'],
  ['GET', '/v2/locks/a/history'],
  ['GET', '/v2/watch'],
  ['GET', '/v2/audit'],
  ['DELETE', '/v2/locks/a'],
  ['POST', '/v2/sessions', {}],
  ['POST', '/v2/locks/a/acquire', {}],
  ['POST', '/v2/locks/a/force-release', { reason: 'x' }],
  ['GET', '/v1/locks'],
  ['GET', '/v1/locks/a'],
  ['POST', '/v1/locks/a/acquire', {}],
] as const

test('what nobody can decide is refused as unavailable for a while, on every road, and nothing is called hidden or forbidden', async () => {
  for (const permissions of [silent, slow])
    await withDoors(
      async ({ ask, registry }) => {
        for (const [method, path, body] of asked) {
          const { status, body: answer, headers } = await ask(method, path, { key: 'ann', ...(body && { body }) })
          assert.deepEqual([status, answer.errors[0].code], [503, 'unavailable'], path)
          assert.match(answer.errors[0].message, /decision point does not answer/, path)
          assert.equal(headers['retry-after'], '1', path)
        }
        assert.ok(registry.noted.length >= asked.length, 'and it is in the trail')
        for (const { outcome, status } of registry.noted) assert.deepEqual([outcome, status], ['failure', 503])
      },
      { people: { ann }, permissions },
    )
})

test('a list of which it is not known whether a name may be listed is refused, not shortened', async () => {
  const permissions: DecisionPoint = {
    ...silent,
    decide: ({ action, lock, isPrefix }) => {
      if (action === 'lock.list' && lock === 'b') return unknown
      return { permitted: !isPrefix, why: '', policy: null }
    },
    mayAny: () => true,
  }
  await withDoors(
    async ({ ask }) => {
      assert.equal((await ask('GET', '/v2/locks', { key: 'ann' })).status, 200)
      for (const name of ['a', 'b']) await ask('PUT', `/v2/locks/${name}`, { key: 'ann', body: {} })
      assert.equal((await ask('GET', '/v2/locks', { key: 'ann' })).status, 503)
    },
    { people: { ann }, permissions },
  )
})

test('a connection is not let in as long as nobody can decide, and is told to come again', async () => {
  await withDoors(
    async ({ listen }) => {
      const socket = new WebSocket(`${(await listen()).replace('http', 'ws')}/v2/connect`, {
        headers: { authorization: 'Bearer ann' },
      })
      const told = new Promise(resolve => socket.once('message', data => resolve(JSON.parse(String(data)))))
      await new Promise(resolve => socket.once('open', resolve))
      socket.send(JSON.stringify([{ type: 'hello' }]))
      const [{ error }] = (await told) as [{ error: { code: string } }]
      assert.equal(error.code, 'unavailable')
      socket.terminate()
    },
    { people: { ann }, permissions: slow },
  )
})

test('what is open ends with the reason that nothing is known, not that something was taken away', async () => {
  const clock = new FakeClock()
  const standing = new Standing({ registry: memoryRegistry(), clock })
  const ended: string[] = []
  const add = (name: string, isPermitted: () => Verdict | Promise<Verdict>) =>
    standing.add({
      caller: { identity: ann, subject: name, instance: 'default', address: '' },
      isPermitted,
      end: reason => ended.push(`${name} ${reason}`),
    })
  add('at once', () => null)
  add('later', async () => null)
  add('stays', async () => true)
  add('denied', async () => false)
  await clock.pass(5_000)
  assert.deepEqual(ended.sort(), [
    'at once permission_unknown',
    'denied permission_revoked',
    'later permission_unknown',
  ])
  standing.close()
})

test('a watch is cut off, to be resumed, at an event of which it is not known whether it may be seen', async () => {
  const event = (lock: string): LockEvent => ({ id: lock, at: '', type: 'granted', lock })
  for (const verdict of [() => null, async () => null]) {
    const [delivered, cuts]: [string[], string[]] = [[], []]
    const filter = new EventFilter({
      sees: ({ lock }) => (lock === 'b' ? verdict() : true),
      deliver: ({ lock }) => delivered.push(lock) > 0,
      cut: () => void cuts.push('cut'),
    })
    for (const lock of ['a', 'b', 'c']) filter.offer(event(lock))
    await new Promise(resolve => setImmediate(resolve))
    assert.equal(filter.offer(event('d')), false)
    assert.deepEqual([delivered, cuts], [['a'], ['cut']])
  }
})

const permitted: Decision = { permitted: true, why: '', policy: null }

test('a stream whose client has gone while it was being decided is not begun: nobody would hear of its end', async () => {
  const [asked, decided] = [Promise.withResolvers<void>(), Promise.withResolvers<true>()]
  const permissions: DecisionPoint = {
    ...silent,
    decide: () => permitted,
    mayAny() {
      asked.resolve()
      return decided.promise
    },
  }
  await withDoors(
    async ({ app, doors, listen }) => {
      const url = await listen()
      const connection = once(app.server, 'connection')
      const request = get(`${url}/v2/watch`, { headers: { authorization: 'Bearer ann' } })
      request.on('error', () => {})
      const [peer] = (await connection) as [Socket] // the server's end
      await asked.promise
      const gone = once(peer, 'close')
      request.destroy()
      await gone
      decided.resolve(true)
      for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
      assert.equal(doors.standing.count, 0)
      assert.match(await doors.telemetry.exposition(), /holdfast_watch_streams 0/)
    },
    { people: { ann }, permissions },
  )
})

test('a watch that is cut off while it catches up gives its place back, however often it is resumed', async () => {
  const permissions: DecisionPoint = {
    ...silent,
    decide: ({ action, lock }) => (action === 'lock.watch' && lock !== null ? Promise.resolve(permitted) : permitted),
    mayAny: () => true,
  }
  await withDoors(
    async ({ listen }) => {
      const headers = { authorization: 'Bearer ann' }
      const socket = new WebSocket(`${(await listen()).replace('http', 'ws')}/v2/connect`, { headers })
      const messages: Json[] = []
      let look = () => {}
      socket.on('message', data => {
        messages.push(...JSON.parse(String(data)))
        look()
      })
      const until = (wanted: (message: Json) => boolean) =>
        new Promise<Json>(resolve => {
          look = () => {
            const found = messages.find(wanted)
            if (found) resolve(found)
          }
          look()
        })
      await once(socket, 'open')
      let id = 0
      const asked = async (message: object) => {
        socket.send(JSON.stringify([{ ...message, id: ++id }]))
        const mine = id
        return until(({ type, id }) => type === 'reply' && id === mine)
      }
      socket.send(JSON.stringify([{ type: 'hello' }]))
      await until(({ type }) => type === 'welcome')
      const { cursor: after } = await asked({ type: 'watch' })
      await asked({ type: 'unwatch', watch: id })
      const locks = Array.from({ length: 64 }, (_, number) => ({ name: `n${number}` }))
      for (let events = 0; events <= UNDECIDED_EVENTS_MAX; events += 2 * locks.length) {
        const { grants } = await asked({ type: 'acquire_all', locks })
        await asked({ type: 'release_all', grants: grants.map(({ name, token }: Json) => ({ name, token })) })
      }
      for (let watch = 0; watch <= CONNECTION_WATCHES_MAX; watch++) {
        const { error } = await asked({ type: 'watch', after })
        assert.equal(error, undefined)
        const mine = id
        const ended = await until(({ type, watch }) => type === 'ended' && watch === mine)
        assert.equal(ended.error.code, 'unavailable')
      }
      socket.terminate()
    },
    { people: { ann }, permissions },
  )
})

test('what comes together is asked about together, and taken in its order: a renewal does not wait for one name after another', async () => {
  const asked: string[] = []
  const decided: (() => void)[] = []
  const permissions: DecisionPoint = {
    ...silent,
    decide({ lock }) {
      if (lock === null) return permitted
      asked.push(lock)
      return new Promise(resolve => decided.push(() => resolve(permitted)))
    },
  }
  await withDoors(
    async ({ listen }) => {
      const headers = { authorization: 'Bearer ann' }
      const socket = new WebSocket(`${(await listen()).replace('http', 'ws')}/v2/connect`, { headers })
      const replies: number[] = []
      const heard = Promise.withResolvers<void>()
      const welcomed = Promise.withResolvers<void>()
      socket.on('message', data => {
        for (const { type, id } of JSON.parse(String(data)) as Json[]) {
          if (type === 'welcome') welcomed.resolve()
          if (type === 'reply') replies.push(id)
        }
        if (replies.length === 4) heard.resolve()
      })
      await once(socket, 'open')
      socket.send(JSON.stringify([{ type: 'hello' }]))
      await welcomed.promise
      const names = ['a', 'b', 'c']
      const acquires = names.map((name, place) => ({ type: 'acquire', id: place + 1, name, wait_ms: 0 }))
      const pong = once(socket, 'pong')
      socket.send(JSON.stringify([...acquires, { type: 'renew', id: 4 }]))
      // What was sent before it has been read by the time it is answered.
      socket.ping()
      await pong
      assert.deepEqual(asked, names)
      assert.deepEqual(replies, [])
      for (const decide of decided.toReversed()) decide()
      await heard.promise
      assert.deepEqual(replies, [1, 2, 3, 4])
      socket.terminate()
    },
    { people: { ann }, permissions },
  )
})

test('a wait that nobody can say anything of loses its place, and is asked for again: it has not been taken back', async () => {
  let isKnown = true
  const permissions: DecisionPoint = {
    ...silent,
    decide: ({ lock }) => (lock === null || isKnown ? permitted : unknown),
  }
  await withDoors(
    async ({ listen, registry, ask }) => {
      assert.equal((await ask('POST', '/v1/locks/a/acquire', { body: { ttl_seconds: 600 } })).status, 200)
      const headers = { authorization: 'Bearer ann' }
      const socket = new WebSocket(`${(await listen()).replace('http', 'ws')}/v2/connect`, { headers })
      const messages: Json[] = []
      let look = () => {}
      socket.on('message', data => {
        messages.push(...JSON.parse(String(data)))
        look()
      })
      const next = (wanted: (message: Json) => boolean) =>
        new Promise<Json>(resolve => {
          look = () => {
            const place = messages.findIndex(wanted)
            if (place >= 0) resolve(messages.splice(0, place + 1).at(-1))
          }
          look()
        })
      await once(socket, 'open')
      socket.send(JSON.stringify([{ type: 'hello' }]))
      await next(({ type }) => type === 'welcome')
      const waiting = JSON.stringify([{ type: 'acquire', id: 1, name: 'a' }])
      socket.send(waiting)
      await next(({ type }) => type === 'queued')
      isKnown = false
      registry.put({ kind: 'instance', id: 'other', value: null })
      assert.equal((await next(({ id }) => id === 1)).error.code, 'unavailable')
      isKnown = true
      assert.equal((await ask('GET', '/v2/locks/a/queue')).body.waiters.length, 0)
      socket.send(waiting)
      assert.equal((await next(({ id }) => id === 1)).type, 'queued')
      socket.terminate()
    },
    { people: { ann }, permissions },
  )
})
