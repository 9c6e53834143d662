/** What is revoked, expires or is no longer permitted ends, while it is in use. */
import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import { test } from 'node:test'
import type { Action } from '@holdfast/protocol/operation'
import { WebSocket } from 'ws'
import type { Identity } from '../auth/identity.ts'
import { systemClock } from '../clock.ts'
import { openMemory } from '../engine/memory/memory.ts'
import { person } from '../policies/testing.ts'
import type { Put } from '../registry/port.ts'
import { type CredentialRecord, keyWithin } from '../registry/records.ts'
import { openRegistry } from '../registry/registry.ts'
import { credentialRecord, instanceRecord, memoryRegistry, policyRecord } from '../registry/testing.ts'
import { FakeClock } from '../shards/testing.ts'
import type { Json } from '../testing.ts'
import { closeCodes } from './connect/close-codes.ts'
import type { Ended } from './ended.ts'
import { identityNow, Standing } from './standing.ts'
import { type TestDoors, withDoors } from './testing.ts'

const put = (value: CredentialRecord): Put => ({ kind: 'credential', id: value.id, value })
const ann = credentialRecord({ id: 'ann', roles: ['manager'] })
const identityOf = ({ id, subject, instance, roles, groups }: CredentialRecord): Identity =>
  person({ subject, instance, roles, groups, credential: id })
const world = { puts: [put(ann)], people: { ann: identityOf(ann) } }

/** A connection that has said hello. */
async function connected(url: string, key = 'ann', hello: { session?: string } = {}) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v2/connect`, {
    headers: { authorization: `Bearer ${key}` },
  })
  const messages: Json[] = []
  const looks = new Set<() => void>()
  socket.on('message', data => {
    messages.push(...JSON.parse(String(data)))
    for (const look of looks) look()
  })
  const closed = new Promise<{ code: number; reason: string }>(resolve =>
    socket.once('close', (code, reason) => resolve({ code, reason: String(reason) })),
  )
  const until = (wanted: (message: Json) => boolean) =>
    new Promise<Json>(resolve => {
      const look = () => {
        const found = messages.find(wanted)
        if (!found) return
        looks.delete(look)
        resolve(found)
      }
      looks.add(look)
      look()
    })
  const send = (...sent: object[]) => socket.send(JSON.stringify(sent))
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  send({ type: 'hello', ...hello })
  const welcome = await until(({ type }) => type === 'welcome')
  return { send, until, closed, welcome, end: () => socket.terminate() }
}

/** A stream of events, as text. */
function streamed(url: string, path: string, key = 'ann') {
  let text = ''
  let look = () => {}
  let end = () => {}
  const ended = new Promise<string>(resolve => {
    end = () => resolve(text)
  })
  const sent = httpRequest(`${url}${path}`, { headers: { authorization: `Bearer ${key}` } }, response => {
    response.setEncoding('utf8').on('data', part => {
      text += part
      look()
    })
    response.on('close', () => end())
  })
  sent.end()
  const until = (part: string) =>
    new Promise<void>(resolve => {
      look = () => text.includes(part) && resolve()
      look()
    })
  return { until, ended, text: () => text }
}

const revocations: [string, Put, Ended][] = [
  ['revoked', put({ ...ann, state: 'revoked' }), 'credential_revoked'],
  ['deleted', { kind: 'credential', id: 'ann', value: null }, 'credential_revoked'],
  ['expired', put({ ...ann, expiresAtMs: 1 }), 'credential_expired'],
  ['left without its role', put({ ...ann, roles: [] }), 'permission_revoked'],
  [
    'of an instance that is disabled',
    { kind: 'instance', id: 'default', value: instanceRecord({ id: 'default', state: 'disabled' }) },
    'permission_revoked',
  ],
]

for (const [how, change, reason] of revocations) {
  test(`a credential that is ${how} loses its connections, streams and waits`, async () => {
    await withDoors(async ({ listen, registry, ask }) => {
      const url = await listen()
      const held = await ask('POST', '/v1/locks/held/acquire', { key: 'ann', body: {} })
      assert.equal(held.status, 200)
      const client = await connected(url)
      const all = streamed(url, '/v2/watch')
      const leader = streamed(url, '/v2/elections/a/observe')
      await Promise.all([all.until('id: '), leader.until('id: ')])
      const waiting = ask('POST', '/v1/locks/held/acquire', { key: 'ann', body: { wait_seconds: 60 } })
      await all.until('event: queued')
      registry.put(change)
      assert.deepEqual(await client.closed, { code: 4401, reason })
      for (const stream of [all, leader])
        assert.match(await stream.ended, new RegExp(`event: ended\\ndata: {"reason":"${reason}"}`))
      const refused = await waiting
      assert.deepEqual([refused.status, refused.body.errors[0].code], [403, 'forbidden'])
      await all.ended
    }, world)
  })
}

test('others go on, and one whose role has changed goes on with the new one', async () => {
  const bob = credentialRecord({ id: 'bob', roles: ['manager'] })
  await withDoors(
    async ({ listen, registry }) => {
      const url = await listen()
      const client = await connected(url, 'bob')
      registry.put(put({ ...ann, state: 'revoked' }))
      registry.put(put({ ...bob, roles: ['writer'] }))
      client.send(
        { type: 'acquire', id: 1, name: 'a', wait_ms: 0 },
        { type: 'acquire', id: 2, name: 'a', wait_ms: 0, preempt: 'graceful' },
      )
      assert.equal((await client.until(({ id }) => id === 1)).error, undefined)
      assert.equal((await client.until(({ id }) => id === 2)).error.code, 'forbidden', 'a writer may not preempt')
      client.end()
    },
    { puts: [put(ann), put(bob)], people: { ...world.people, bob: identityOf(bob) } },
  )
})

test('a connection stays as long as what let it in is permitted: to open a session, or to go on with one', async () => {
  const role = (...actions: Action[]): Put => {
    const value = { id: 'holder', instance: 'default', title: '', actions }
    return { kind: 'role', id: keyWithin('default', 'holder'), value }
  }
  const holder = { ...ann, roles: ['holder'] }
  await withDoors(
    async ({ listen, registry, ask }) => {
      const url = await listen()
      const { session_id, session_secret } = (await ask('POST', '/v2/sessions', { body: {} })).body
      const resumed = await connected(url, 'ann', { session: `${session_id}.${session_secret}` })
      // Whenever the registry changes, all are looked at.
      registry.put(role('session.renew', 'session.open'))
      const opened = await connected(url)
      registry.put(role('session.renew'))
      assert.deepEqual(await opened.closed, { code: 4401, reason: 'permission_revoked' })
      resumed.send({ type: 'renew', id: 1 })
      const renewed = await Promise.race([resumed.until(({ id }) => id === 1), resumed.closed])
      assert.deepEqual([renewed.type, renewed.error], ['reply', undefined], 'it is not closed')
      registry.put(role('session.open'))
      assert.deepEqual(await resumed.closed, { code: 4401, reason: 'permission_revoked' })
    },
    { puts: [put(holder), role('session.renew')], people: { ann: identityOf(holder) } },
  )
})

test('when a policy goes, the watches and the waits that it granted end, and the connection stays', async () => {
  const policy = (id: string, locks: string[]) => policyRecord({ id, subjects: ['key:ann'], roles: ['writer'], locks })
  const puts: Put[] = [
    put({ ...ann, roles: [] }),
    ...['a', 'b'].map((id): Put => ({ kind: 'policy', id, value: policy(id, [`${id}*`]) })),
  ]
  await withDoors(
    async ({ listen, registry, ask }) => {
      const url = await listen()
      await ask('POST', '/v1/locks/b1/acquire', { body: {} })
      const client = await connected(url)
      client.send(
        { type: 'watch', id: 1, prefix: 'a' },
        { type: 'watch', id: 2, name: 'b1' },
        { type: 'acquire', id: 3, name: 'b1' },
      )
      await Promise.all([1, 2].map(id => client.until(message => message.id === id && message.cursor !== undefined)))
      await client.until(({ type }) => type === 'queued')
      registry.put({ kind: 'policy', id: 'b', value: null })
      const [watch, wait] = await Promise.all([
        client.until(message => message.type === 'ended' && message.watch === 2),
        client.until(message => message.id === 3 && message.error),
      ])
      assert.deepEqual([watch.error.code, watch.error.reason], ['forbidden', 'permission_revoked'])
      assert.equal(wait.error.code, 'forbidden')
      client.send({ type: 'acquire', id: 4, name: 'a1' })
      await client.until(({ type, event }) => type === 'event' && event.lock === 'a1')
      const { body } = await ask('GET', '/v2/locks/b1/queue')
      assert.deepEqual(body.waiters, [], 'the wait has left the line')
      client.end()
    },
    { puts, people: { ann: identityOf({ ...ann, roles: [] }) } },
  )
})

test('revoked with its sessions, what they hold is released; else it lives out its TTL', async () => {
  const held = async ({ ask }: TestDoors) => (await ask('GET', '/v2/locks/a')).body.holder !== undefined
  for (const endsSessions of [false, true]) {
    await withDoors(async doors => {
      const url = await doors.listen()
      const watching = streamed(url, '/v2/watch', 'root')
      await watching.until('id: ')
      const client = await connected(url)
      client.send({ type: 'acquire', id: 1, name: 'a' })
      await client.until(({ id }) => id === 1)
      doors.registry.put(put({ ...ann, state: 'revoked', ...(endsSessions && { endsSessions: true }) }))
      await client.closed
      if (endsSessions) {
        await watching.until('event: forced')
        assert.ok(!(await held(doors)))
      } else assert.ok(await held(doors))
    }, world)
  }
})

test('a key that is revoked with its sessions takes nothing from the one that has replaced it', async () => {
  const old = credentialRecord({ id: 'old', roles: ['manager'], replacedBy: 'new' })
  const next = credentialRecord({ id: 'new', roles: ['manager'], subject: old.subject })
  const people = { old: identityOf(old), new: identityOf(next) }
  await withDoors(
    async ({ ask, listen, registry }) => {
      const acquire = async (key: string) => {
        const { body } = await ask('POST', '/v2/sessions', { key, body: {} })
        const session = `${body.session_id}.${body.session_secret}`
        assert.equal((await ask('POST', `/v2/locks/rest-${key}/acquire`, { key, session, body: {} })).status, 200)
        assert.equal((await ask('POST', `/v1/locks/single-${key}/acquire`, { key, body: {} })).status, 200)
        const socket = await connected(url, key)
        socket.send({ type: 'acquire', id: 1, name: `socket-${key}` })
        await socket.until(({ id }) => id === 1)
        return socket
      }
      const url = await listen()
      const sockets = [await acquire('old'), await acquire('new')]
      const gone = async (key: string) => {
        const states = ['rest', 'single', 'socket'].map(async kind => {
          const { status, body } = await ask('GET', `/v2/locks/${kind}-${key}`)
          return status === 404 || body.holders.length === 0
        })
        return Promise.all(states)
      }
      registry.put(put({ ...old, state: 'revoked', endsSessions: true }))
      while ((await gone('old')).includes(false));
      assert.deepEqual(await gone('new'), [false, false, false])
      registry.put(put({ ...next, state: 'revoked', endsSessions: true }))
      while ((await gone('new')).includes(false));
      for (const socket of sockets) socket.end()
    },
    { puts: [put(old), put(next)], people },
  )
})

test('what is revoked on one server ends on another', async () => {
  const engine = openMemory()
  const options = { engine, clock: systemClock, root: 'test', alarm: assert.fail, fatal: assert.fail }
  const one = await openRegistry({ ...options, server: 'one' })
  const other = await openRegistry({ ...options, server: 'other' })
  const deed = {
    by: 'root',
    from: '',
    action: 'test',
    instance: null,
    target: '',
    outcome: 'success',
    status: 200,
    reason: '',
    trace: '',
  } as const
  const standing = new Standing({ registry: other, clock: systemClock })
  try {
    await one.change(deed, () => [put(ann)])
    while (!other.get('credential', 'ann')) await new Promise(resolve => systemClock.after(20, () => resolve(null)))
    const ended = new Promise<Ended>(end => {
      const caller = { identity: identityOf(ann), subject: ann.subject, instance: 'default', address: '' }
      standing.add({ caller, isPermitted: () => true, end })
    })
    await one.change(deed, () => [put({ ...ann, state: 'revoked' })])
    assert.equal(await ended, 'credential_revoked')
  } finally {
    standing.close()
    await Promise.all([one.close(), other.close()])
    await engine.close()
  }
})

// ---------------------------------------------------------------------------------------------------- by the clock

test('a stream ends when its token expires, and when the hours of its policy are over, within 5 s', async () => {
  const clock = new FakeClock()
  const registry = memoryRegistry()
  const standing = new Standing({ registry, clock })
  const ended: string[] = []
  const add = (name: string, identity: Identity, isPermitted: () => boolean) => {
    const caller = { identity, subject: name, instance: 'default', address: '' }
    standing.add({ caller, isPermitted, end: reason => ended.push(`${name} ${reason}`) })
  }
  const endMs = clock.wallMs() + 60_000
  add('token', person({ expiresAtMs: endMs }), () => true)
  add('hours', person(), () => clock.wallMs() < endMs)
  add('stays', person(), () => true)
  for (let index = 0; index < 100; index++) add('crowd', person(), () => true)
  await clock.pass(59_000)
  assert.deepEqual(ended, [])
  await clock.pass(6_000)
  assert.deepEqual(ended.sort(), ['hours permission_revoked', 'token credential_expired'])
  assert.equal(standing.count, 101)
  standing.close()
})

test('a stream is looked at in time however many others have gone since the round began', async () => {
  const clock = new FakeClock()
  const standing = new Standing({ registry: memoryRegistry(), clock })
  const add = (identity: Identity, end: (reason: Ended) => void = () => assert.fail()) =>
    standing.add({ caller: { identity, subject: 's', instance: 'default', address: '' }, isPermitted: () => true, end })
  const crowd = Array.from({ length: 1_000 }, () => add(person()))
  await clock.pass(600)
  for (const leave of crowd) leave()
  const ended: Ended[] = []
  add(person({ expiresAtMs: clock.wallMs() + 1_000 }), reason => void ended.push(reason))
  await clock.pass(6_000)
  assert.deepEqual(ended, ['credential_expired'])
  standing.close()
})

test('an identity is what its record says now, and no longer than both it and its token', () => {
  const wallMs = systemClock.wallMs()
  const now = (fields: Partial<CredentialRecord>, identity = identityOf(ann)) =>
    identityNow(identity, { registry: memoryRegistry(put({ ...ann, ...fields })), wallMs })
  assert.deepEqual(now({ groups: ['g'], roles: ['reader'] }), { ...identityOf(ann), groups: ['g'], roles: ['reader'] })
  assert.equal(now({ instance: 'other' }), 'credential_revoked')
  assert.equal(now({ state: 'revoked' }), 'credential_revoked')
  const token = { ...identityOf(ann), expiresAtMs: wallMs + 10 }
  for (const [expiresAtMs, expected] of [
    [wallMs + 5, wallMs + 5],
    [wallMs + 20, wallMs + 10],
    [null, wallMs + 10],
  ] as const) {
    const found = now({ expiresAtMs, roles: ['reader'] }, token)
    assert.equal(typeof found === 'string' ? found : found.expiresAtMs, expected)
  }
})

test('a server that has not heard of the store lets nobody in, and sends those who are in to another; the root key stays', async () => {
  await withDoors(async doors => {
    const url = await doors.listen()
    const [ann, root] = [await connected(url), await connected(url, 'root')]
    doors.registry.isFresh = false
    const { code, reason } = await ann.closed
    assert.deepEqual([code, reason], [closeCodes.ended, 'view_stale' satisfies Ended])
    const refused = await doors.ask('GET', '/v2/whoami', { key: 'ann' })
    assert.deepEqual([refused.status, refused.body.errors[0].code], [503, 'unavailable'])
    assert.equal((await doors.ask('GET', '/v2/whoami')).status, 200)
    root.send({ type: 'renew', id: 1 })
    assert.ok(await root.until(({ id }) => id === 1))
    root.end()
    doors.registry.isFresh = true
    assert.equal((await doors.ask('GET', '/v2/whoami', { key: 'ann' })).status, 200)
  }, world)
})
