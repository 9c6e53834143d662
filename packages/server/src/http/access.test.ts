/** What is permitted beyond yes and no: conditions on bodies, lists and watches of what may be seen, instances, addresses. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import type { LockEvent } from '@holdfast/protocol/events'
import { WebSocket } from 'ws'
import { person } from '../policies/testing.ts'
import type { Put } from '../registry/port.ts'
import type { Conditions, PolicyRecord } from '../registry/records.ts'
import { instanceRecord, policyRecord } from '../registry/testing.ts'
import type { Answer, Ask, Json } from '../testing.ts'
import { EventFilter, UNDECIDED_EVENTS_MAX } from './event-filter.ts'
import { LIST_LOOKS_MAX } from './listing.ts'
import { type TestDoors, withDoors } from './testing.ts'

const policy = (fields: Partial<PolicyRecord>): Put => {
  const value = policyRecord({ id: 'p', roles: ['writer'], ...fields })
  return { kind: 'policy', id: value.id, value }
}
const ann = person({ instance: 'default' })
const as = (options: Ask = {}): Ask => ({ key: 'ann', ...options })
const codeOf = ({ status, body }: Answer) => (status < 400 ? status : String(body.errors[0].code))

async function sessionOf({ ask }: TestDoors, ttl_ms: number, key = 'ann'): Promise<string> {
  const { status, body } = await ask('POST', '/v2/sessions', { key, body: { ttl_ms } })
  assert.equal(status, 201)
  return `${body.session_id}.${body.session_secret}`
}

const limited = (conditions: Conditions, locks = ['a*'], roles = ['writer']) => ({
  puts: [policy({ conditions, locks, roles })],
  people: { ann },
})

test('the longest TTL is that of the session that acquires, however it is asked for, n and n + 1', async () => {
  const { puts, people } = limited({ maxTtlMs: 10_000 })
  puts.push(policy({ id: 'q', locks: ['b*'] }))
  await withDoors(
    async doors => {
      const { ask } = doors
      const short = await sessionOf(doors, 10_000)
      const long = await sessionOf(doors, 10_001)
      const acquire = (path: string, session: string, body = {}) => ask('POST', path, as({ session, body }))
      assert.equal(codeOf(await acquire('/v2/locks/a1/acquire', short)), 200)
      assert.equal(codeOf(await acquire('/v2/locks/a2/acquire', long)), 'forbidden')
      assert.equal(codeOf(await acquire('/v2/acquire', long, { locks: [{ name: 'b1' }, { name: 'a3' }] })), 'forbidden')
      assert.equal(codeOf(await acquire('/v2/acquire', long, { locks: [{ name: 'b1' }, { name: 'b2' }] })), 200)
      assert.equal(codeOf(await acquire('/v2/elections/a4/campaign', long, { value: '' })), 'forbidden')
      const refused = await acquire('/v2/locks/a2/acquire', long)
      assert.match(refused.body.errors[0].message, /The TTL may be 10000 ms at most/)
      assert.ok(!refused.text.includes('`p`'), 'the policy is not named')
      const v1 = (name: string, body = {}) => ask('POST', `/v1/locks/${name}/acquire`, as({ body }))
      assert.equal(codeOf(await v1('a5', { ttl_seconds: 10 })), 200)
      assert.equal(codeOf(await v1('a6', { ttl_seconds: 11 })), 'forbidden')
      assert.equal(codeOf(await v1('a6')), 'forbidden', 'the default of 30 s')
      assert.equal((await ask('PUT', '/v1/locks/a7', { body: { default_ttl_seconds: 5 } })).status, 201)
      assert.equal(codeOf(await v1('a7')), 200, 'that of the lock')
    },
    { puts, people },
  )
})

test('over a connection it is that of the session too: resumed as it was opened, and as it was lengthened elsewhere', async () => {
  const resumed = async ({ listen }: TestDoors, session: string) => {
    const headers = { authorization: 'Bearer ann' }
    const socket = new WebSocket(`${(await listen()).replace('http', 'ws')}/v2/connect`, { headers })
    await once(socket, 'open')
    const ask = async (message: object) => {
      socket.send(JSON.stringify([message]))
      const [reply] = JSON.parse(String((await once(socket, 'message'))[0]))
      return reply.error?.code ?? reply.type
    }
    return { ask, first: await ask({ type: 'hello', session }), end: () => socket.terminate() }
  }
  const conditions = { maxTtlMs: 10_000 }
  await withDoors(async doors => {
    const { first, end } = await resumed(doors, await sessionOf(doors, 10_000))
    assert.equal(first, 'welcome', 'it asks for no TTL, and so not for the default')
    end()
  }, limited(conditions))
  const { puts, people } = limited(conditions)
  puts.push(policy({ id: 'q', locks: ['b*'] }))
  await withDoors(
    async doors => {
      const session = await sessionOf(doors, 10_000)
      const { ask, end } = await resumed(doors, session)
      assert.equal(await ask({ type: 'acquire', id: 1, name: 'a1' }), 'reply')
      const path = `/v2/sessions/${session.split('.')[0]}/renew`
      assert.equal((await doors.ask('POST', path, as({ session, body: { ttl_ms: 60_000 } }))).status, 200)
      assert.equal(await ask({ type: 'renew', id: 2 }), 'reply')
      assert.equal(await ask({ type: 'acquire', id: 3, name: 'a2' }), 'forbidden')
      end()
    },
    { puts, people },
  )
})

test('priority, preemption and labels are looked at in the body', async () => {
  const conditions: Conditions = { maxPriority: 2, preempt: 'graceful', labels: { team: 'x' } }
  await withDoors(
    async doors => {
      const session = await sessionOf(doors, 10_000)
      const acquire = async (body: object) =>
        codeOf(await doors.ask('POST', '/v2/locks/a/acquire', as({ session, body: { reentrant: true, ...body } })))
      const labels = { team: 'x' }
      assert.equal(await acquire({ priority: 2, labels }), 200)
      assert.equal(await acquire({ priority: 3, labels }), 'forbidden')
      assert.equal(await acquire({ priority: 2 }), 'forbidden')
      assert.equal(await acquire({ labels: { team: 'y' } }), 'forbidden')
      assert.equal(await acquire({ labels, preempt: 'graceful' }), 200)
      assert.equal(await acquire({ labels, preempt: 'immediate' }), 'forbidden')
    },
    limited(conditions, ['a*'], ['manager']),
  )
})

test('to preempt is a permission of its own', async () => {
  await withDoors(async doors => {
    const session = await sessionOf(doors, 10_000)
    const acquire = (path: string, body: object) => doors.ask('POST', path, as({ session, body }))
    assert.equal(codeOf(await acquire('/v2/locks/a/acquire', { preempt: 'graceful' })), 'forbidden')
    assert.equal(codeOf(await acquire('/v1/locks/a/acquire', { preempt: true })), 'forbidden')
    assert.equal(codeOf(await acquire('/v1/locks/a/acquire', { preempt: false })), 200)
  }, limited({}))
})

test('what is not permitted is noted: who, from where, what, on what, why', async () => {
  await withDoors(async ({ ask, registry }) => {
    const headers = { 'x-request-id': 'request-7' }
    assert.equal(codeOf(await ask('DELETE', '/v2/locks/a%2F1', as({ headers }))), 'forbidden')
    assert.deepEqual(registry.noted, [
      {
        by: 'key:ann',
        from: '127.0.0.1',
        action: 'lock.delete',
        instance: 'default',
        target: 'lock/a/1',
        outcome: 'denied',
        status: 403,
        reason: 'No role grants `lock.delete` on this name.',
        trace: 'request-7',
      },
    ])
    assert.equal(codeOf(await ask('GET', '/v2/whoami', { key: 'nobody' })), 'unauthenticated')
    assert.deepEqual([registry.noted[1]?.action, registry.noted[1]?.status], ['authenticate', 401])
  }, limited({}))
})

// ---------------------------------------------------------------------------------------------------- lists

async function configure({ ask }: TestDoors, names: readonly string[]): Promise<void> {
  for (const name of names)
    assert.equal((await ask('PUT', `/v2/locks/${encodeURIComponent(name)}`, { body: {} })).status, 201)
}

async function pages({ ask }: TestDoors, path: string): Promise<string[][]> {
  const found: string[][] = []
  for (let next = path; ; ) {
    const { body } = await ask('GET', next, as())
    found.push(body.locks.map((lock: { name: string }) => lock.name))
    if (!body.next) return found
    next = body.next.href.replace(/^https?:\/\/[^/]+/, '')
  }
}

test('a list has the locks that may be listed and no others, in full pages, and its cursors name no other', async () => {
  const hidden = Array.from({ length: 9 }, (_, index) => `a-hidden-${index}`)
  await withDoors(
    async doors => {
      await configure(doors, ['a1', 'a2', 'b1', 'a-end', 'c', ...hidden])
      for (const version of ['v1', 'v2']) {
        assert.deepEqual(await pages(doors, `/${version}/locks?limit=2`), [
          ['a-end', 'a1'],
          ['a2', 'b1'],
        ])
        assert.deepEqual(await pages(doors, `/${version}/locks?limit=3`), [['a-end', 'a1', 'a2'], ['b1']])
        assert.deepEqual(
          await pages(doors, `/${version}/locks?limit=4`),
          [['a-end', 'a1', 'a2', 'b1']],
          'and no page after it',
        )
        assert.deepEqual(await pages(doors, `/${version}/locks?prefix=a&limit=2`), [['a-end', 'a1'], ['a2']])
        assert.deepEqual(await pages(doors, `/${version}/locks?prefix=a-h`), [[]])
        assert.deepEqual(await pages(doors, `/${version}/locks?prefix=c`), [[]], 'it might end in -end')
      }
    },
    limited({}, ['a?', '*-end', 'b*']),
  )
})

test('a list that would look LIST_LOOKS_MAX times without being done asks for a prefix', async () => {
  const permissions = (last: string) => ({
    decide: async ({ lock, isPrefix }: { lock: string | null; isPrefix?: boolean }) => ({
      permitted: !isPrefix && (lock === null || lock === last),
      why: '',
      policy: null,
    }),
    mayAny: async () => true,
    patterns: () => null,
    mayEnter: async () => true,
  })
  const name = (index: number) => `a${String(index).padStart(3, '0')}`
  for (const [count, expected] of [
    [LIST_LOOKS_MAX, 200],
    [LIST_LOOKS_MAX + 1, 'invalid_request'],
  ] as const) {
    await withDoors(
      async doors => {
        for (let index = 0; index < count; index++) await configureDirectly(doors, name(index))
        assert.equal(codeOf(await doors.ask('GET', '/v2/locks?limit=1', as())), expected)
      },
      { people: { ann }, permissions: permissions(name(count - 1)) },
    )
  }
})

function configureDirectly({ shards }: TestDoors, lock: string): Promise<unknown> {
  const command = { type: 'configure', by: 't', lock, fields: {}, replaces: true, ifVersion: null } as const
  return new Promise((answer, fail) => shards.submit('default', command, { answer, fail }))
}

test('freezes, grants of a session and those who wait for several locks are shown as far as their names may be seen', async () => {
  await withDoors(
    async doors => {
      const { ask } = doors
      for (const prefix of ['a', 'b', 'a1', ''])
        await ask('POST', '/v2/freezes', { body: { prefix, until: '2090-01-01T00:00:00Z', reason: 'x' } })
      const { body } = await ask('GET', '/v2/freezes', as())
      assert.deepEqual(body.freezes.map(({ prefix }: { prefix: string }) => prefix).sort(), ['', 'a', 'a1'])
      for (const prefix of ['a', 'b', 'a1', '']) await ask('DELETE', `/v2/freezes?prefix=${prefix}`)
      const session = await sessionOf(doors, 10_000, 'root')
      await ask('POST', '/v2/acquire', { session, body: { locks: [{ name: 'a1' }, { name: 'b1' }] } })
      const shown = await ask('GET', `/v2/sessions/${session.split('.')[0]}`, as())
      assert.deepEqual(
        shown.body.grants.map(({ name }: { name: string }) => name),
        ['a1'],
      )
      const other = await sessionOf(doors, 10_000, 'root')
      const wait = ask('POST', '/v2/acquire', {
        session: other,
        body: { locks: [{ name: 'a1' }, { name: 'b1' }], wait_ms: 400 },
      })
      for (;;) {
        const { body: queue } = await ask('GET', '/v2/locks/a1/queue', as())
        if (queue.waiters.length === 0) continue
        assert.deepEqual(queue.waiters[0].locks, ['a1'])
        break
      }
      await wait
    },
    limited({}, ['a*']),
  )
})

// ---------------------------------------------------------------------------------------------------- watches

test('a stream and a watch of everything have the events of permitted names, and freezes that stop one of them', async () => {
  await withDoors(
    async ({ listen, ask }) => {
      const url = await listen()
      const response = await fetch(`${url}/v2/watch`, { headers: { authorization: 'Bearer ann' } })
      const socket = new WebSocket(`${url.replace('http', 'ws')}/v2/connect`, {
        headers: { authorization: 'Bearer ann' },
      })
      const messages: Json[] = []
      socket.on('message', data => void messages.push(...JSON.parse(String(data))))
      const told = (wanted: (message: Json) => boolean) =>
        new Promise<void>(resolve => {
          socket.on('message', () => messages.some(wanted) && resolve())
        })
      await new Promise(resolve => socket.once('open', resolve))
      const watching = told(({ id, cursor }) => id === 1 && cursor !== undefined)
      socket.send(JSON.stringify([{ type: 'hello' }]))
      socket.send(JSON.stringify([{ type: 'watch', id: 1 }]))
      await watching
      const last = told(({ event }) => event?.lock === 'a-last')
      for (const name of ['b1', 'a1', 'b2']) await ask('POST', `/v1/locks/${name}/acquire`, { body: {} })
      for (const prefix of ['b', 'a1', ''])
        await ask('POST', '/v2/freezes', { body: { prefix, until: '2090-01-01T00:00:00Z', reason: 'x' } })
      for (const prefix of ['b', 'a1', '']) await ask('DELETE', `/v2/freezes?prefix=${prefix}`)
      await ask('PUT', '/v2/locks/a-last', { body: {} })
      const expected = ['granted a1', 'frozen a1', 'frozen ', 'freed a1', 'freed ', 'configured a-last']
      await last
      const events = messages.flatMap(({ event }) => (event ? [`${event.type} ${event.lock}`] : []))
      assert.deepEqual(events, expected)
      let text = ''
      for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
        text += part
        if (text.includes('a-last')) break
      }
      const data = [...text.matchAll(/^data: (.*)$/gm)].map(([, json = '']) => JSON.parse(json))
      assert.deepEqual(
        data.map(({ type, lock }) => `${type} ${lock}`),
        expected,
      )
      socket.terminate()
    },
    limited({}, ['a*']),
  )
})

test('a watch is of permitted names only, in their order, over a decision that has to be fetched', async () => {
  const event = (lock: string): LockEvent => ({ id: lock, at: '', type: 'granted', lock })
  const delivered: string[] = []
  const answers: ((isSeen: boolean) => void)[] = []
  const filter = new EventFilter({
    sees: ({ lock }) => (lock.startsWith('slow') ? new Promise(resolve => answers.push(resolve)) : lock !== 'hidden'),
    deliver: ({ lock }) => delivered.push(lock) > 0,
    cut: () => assert.fail('it has not fallen behind'),
  })
  for (const lock of ['a', 'hidden', 'slow-1', 'b', 'slow-2', 'c']) assert.ok(filter.offer(event(lock)))
  assert.deepEqual(delivered, ['a'])
  assert.equal(answers.length, 2, 'they are asked about together')
  answers[0]?.(true)
  await turn()
  assert.deepEqual(delivered, ['a', 'slow-1', 'b'])
  answers[1]?.(false)
  await turn()
  assert.deepEqual(delivered, ['a', 'slow-1', 'b', 'c'])
  assert.ok(filter.offer(event('d')))
  assert.deepEqual(delivered.at(-1), 'd', 'at once again')
})

test('a watch with UNDECIDED_EVENTS_MAX events that wait is kept, with one more it is cut off', () => {
  let cuts = 0
  const filter = new EventFilter({ sees: () => new Promise(() => {}), deliver: () => true, cut: () => cuts++ })
  const event: LockEvent = { id: '1', at: '', type: 'granted', lock: 'a' }
  for (let index = 0; index <= UNDECIDED_EVENTS_MAX; index++) assert.ok(filter.offer(event))
  assert.equal(filter.offer(event), false)
  assert.equal(filter.offer(event), false)
  assert.equal(cuts, 1)
})

const turn = () => new Promise(resolve => setImmediate(resolve))

// ---------------------------------------------------------------------------------------------------- instances

test('an instance that is disabled or deleted says so, to all alike; its administration goes on', async () => {
  const states = { off: 'disabled', gone: 'pending_reclamation' } as const
  const puts: Put[] = Object.entries(states).map(([id, state]) => ({
    kind: 'instance',
    id,
    value: instanceRecord({ id, state }),
  }))
  await withDoors(
    async ({ ask }) => {
      for (const id of Object.keys(states))
        for (const key of ['root', id]) {
          const headers = { 'holdfast-instance': id }
          for (const [method, path, body] of [
            ['GET', '/v2/locks/a', undefined],
            ['GET', '/v2/locks', undefined],
            ['POST', '/v2/sessions', {}],
            ['GET', '/v2/watch', undefined],
            ['POST', '/v1/locks/a/acquire', {}],
          ] as const) {
            const refused = await ask(method, path, { key, headers, ...(body && { body }) })
            assert.equal(codeOf(refused), 'forbidden', `${id} ${path}`)
            assert.match(refused.body.errors[0].reason, /^instance_(disabled|deleted)$/)
          }
        }
      assert.equal(
        codeOf(await ask('GET', '/v2/whoami', { headers: { 'holdfast-instance': 'Off' } })),
        'invalid_request',
      )
      assert.equal(codeOf(await ask('GET', '/v2/whoami', { headers: { 'holdfast-instance': 'none' } })), 'not_found')
      const { body } = await ask('GET', '/v2/whoami', { headers: { 'holdfast-instance': 'off' } })
      assert.ok(!body.actions.includes('lock.acquire') && body.actions.includes('instance.enable'))
    },
    {
      puts,
      people: {
        off: person({ instance: 'off', roles: ['manager', 'administrator'] }),
        gone: person({ instance: 'gone', roles: ['manager', 'administrator'] }),
      },
    },
  )
})

test('the same name in two instances is two locks', async () => {
  const puts: Put[] = ['one', 'two'].map(id => ({ kind: 'instance', id, value: instanceRecord({ id }) }))
  const people = {
    one: person({ instance: 'one', roles: ['manager'] }),
    two: person({ instance: 'two', roles: ['manager'] }),
  }
  await withDoors(
    async ({ ask }) => {
      for (const key of ['one', 'two'])
        assert.equal(codeOf(await ask('POST', '/v1/locks/a/acquire', { key, body: { holder: key } })), 200)
      for (const key of ['one', 'two']) assert.equal((await ask('GET', '/v1/locks/a', { key })).body.holder, key)
      assert.equal(codeOf(await ask('GET', '/v1/locks/a')), 'not_found', 'and in `default` there is none')
    },
    { puts, people },
  )
})
