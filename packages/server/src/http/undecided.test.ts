/** A decision point that does not answer: nothing is permitted, and nobody is told that their rights are gone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LockEvent } from '@holdfast/protocol/events'
import { WebSocket } from 'ws'
import type { Decision, DecisionPoint, Verdict } from '../policies/port.ts'
import { person } from '../policies/testing.ts'
import { memoryRegistry } from '../registry/testing.ts'
import { FakeClock } from '../shards/testing.ts'
import { EventFilter } from './event-filter.ts'
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
