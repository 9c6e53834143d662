import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Engine } from '../engine/engine.ts'
import { openMemory } from '../engine/memory/memory.ts'
import { FakeClock, TestEngine } from '../shards/testing.ts'
import { VIEW_MS_MAX } from './freshness.ts'
import type { Deed, Put } from './port.ts'
import type { CredentialRecord, RoleRecord } from './records.ts'
import { CHANGE_MS_MAX, FOLLOW_MS, openRegistry, PUTS_MAX, RECORD_BYTES_MAX, TRAIL_LINKS_MAX } from './registry.ts'
import { decodeHead, encode, hashLink, registryKeysUnder } from './store.ts'
import { credentialRecord } from './testing.ts'

const keys = registryKeysUnder('holdfast')
const role = (id: string, title = id): Put => ({
  kind: 'role',
  id,
  value: { id, instance: null, title, actions: ['lock.read'] },
})
const gone = (id: string): Put => ({ kind: 'role', id, value: null })
const deed: Deed = {
  by: 'root',
  from: '127.0.0.1',
  action: 'role.write',
  instance: null,
  target: 'role/x',
  outcome: 'success',
  status: 200,
  reason: '',
  trace: 't-1',
}

async function opened(engine: Engine = openMemory(), clock = new FakeClock()) {
  const alarms: string[] = []
  const open = (server: string) =>
    openRegistry({
      engine,
      clock,
      root: 'holdfast',
      server,
      alarm: what => void alarms.push(what),
      fatal: error => {
        throw error
      },
    })
  return { engine, clock, alarms, open, registry: await open('one') }
}

const titles = (records: Iterable<RoleRecord>) => [...records].map(({ id, title }) => `${id}:${title}`)

test('a change is known at once where it was made, and by another server before long; both have the same order', async () => {
  const { clock, open, registry } = await opened(deaf())
  const other = await open('two')
  await registry.change(deed, () => [role('b'), role('a')])
  assert.deepEqual(titles(registry.all('role')), ['a:a', 'b:b'])
  await clock.pass(FOLLOW_MS + 1)
  assert.deepEqual(titles(other.all('role')), ['a:a', 'b:b'])
  await other.change(deed, () => [gone('a')])
  await clock.pass(FOLLOW_MS + 1)
  assert.equal(registry.get('role', 'a'), null)
  assert.equal(registry.seq, 2)
  const { links, more } = await registry.trail({ after: 0, limit: 10 })
  assert.deepEqual([links.map(({ seq, server }) => `${seq} ${server}`), more], [['1 one', '2 two'], false])
})

test('of two servers that change at once both succeed, the second decides on what the first has done', async () => {
  const { open, registry } = await opened()
  const other = await open('two')
  const count = (of: typeof registry) => [...of.all('role')].length
  const add = (of: typeof registry) => of.change(deed, () => [role(`role-${count(of)}`)])
  await Promise.all(Array.from({ length: 40 }, (_, index) => add(index % 2 === 0 ? registry : other)))
  const third = await open('three')
  assert.equal(count(third), 40, 'no change was decided on something old')
  assert.equal(third.seq, 40)
})

test('what deciding throws is thrown, and nothing is written', async () => {
  const { registry } = await opened()
  const refused = registry.change(deed, () => {
    throw new Error('no')
  })
  await assert.rejects(refused, /no/)
  await registry.change(deed, () => [role('a')])
  assert.equal(registry.seq, 1)
})

test('a commit of unknown outcome is found out about: done once', async () => {
  const memory = openMemory()
  let isLost = true
  const commit: Engine['commit'] = async request => {
    const result = await memory.commit(request)
    if (!isLost) return result
    isLost = false
    throw new Error('the reply was lost')
  }
  const engine = new Proxy(memory, { get: (target, name) => (name === 'commit' ? commit : bound(target, name)) })
  const { clock, registry } = await opened(engine)
  const changed = registry.change(deed, () => [role('a')])
  await clock.pass(1_000)
  await changed
  assert.equal(registry.seq, 1)
  assert.equal((await registry.trail({ after: 0, limit: 10 })).links.length, 1)
})

test('a store that does not answer: `unavailable` after CHANGE_MS_MAX', async () => {
  const memory = openMemory()
  const commit: Engine['commit'] = () => Promise.reject(new Error('away'))
  const engine = new Proxy(memory, { get: (target, name) => (name === 'commit' ? commit : bound(target, name)) })
  const { clock, registry } = await opened(engine)
  let told: unknown = null
  registry
    .change(deed, () => [role('a')])
    .catch((error: unknown) => {
      told = error
    })
  await clock.pass(CHANGE_MS_MAX - 10)
  assert.equal(told, null)
  await clock.pass(100)
  assert.match(String(told), /not known/)
})

test('each link names the hash of the one before; the head names the last', async () => {
  const { engine, registry } = await opened()
  for (const id of ['a', 'b', 'c']) await registry.change(deed, () => [role(id)])
  const { pairs } = await engine.list({ prefix: keys.trail, limit: 10 })
  const { links } = await registry.trail({ after: 0, limit: 10 })
  assert.deepEqual(
    links.map(({ prev }) => prev),
    ['', ...pairs.slice(0, 2).map(({ value }) => hashLink(value))],
  )
  const head = await engine.read(keys.head)
  assert.equal(decodeHead(head!.value).hash, hashLink(pairs[2]!.value))
})

test('a head that is written once more, as re-encryption does, loses no change and reads nothing anew', async () => {
  const { clock, engine, registry } = await opened(deaf())
  await registry.change(deed, () => [role('a')])
  const head = await engine.read(keys.head)
  await engine.commit({ checks: [], writes: [{ key: keys.head, value: head!.value }] })
  const told: unknown[] = []
  registry.onChange(puts => told.push(puts))
  await registry.change(deed, () => [role('b')])
  await clock.pass(FOLLOW_MS + 1)
  assert.deepEqual([titles(registry.all('role')), told.length], [['a:a', 'b:b'], 1])
})

test('a link that was changed in the store is noticed by whoever follows', async () => {
  const { alarms, clock, engine, open, registry } = await opened(deaf())
  await registry.change(deed, () => [role('a')])
  const other = await open('two')
  await registry.change(deed, () => [role('b')])
  const link = await engine.read(keys.link(2))
  const forged = { ...JSON.parse(Buffer.from(link!.value).toString()), prev: 'x' }
  await engine.commit({ checks: [], writes: [{ key: keys.link(2), value: encode(forged) }] })
  await clock.pass(FOLLOW_MS + 1)
  assert.equal(other.seq, 2)
  assert.ok(
    alarms.some(what => /does not follow/.test(what)),
    String(alarms),
  )
})

test('where the links are gone all records are read anew; what has been deleted is told as deleted', async () => {
  const { clock, engine, open, registry } = await opened(deaf())
  await registry.change(deed, () => [role('a'), role('b')])
  const other = await open('two')
  const told: string[] = []
  other.onChange(puts => told.push(...puts.map(({ id, value }) => `${id} ${value === null ? 'gone' : 'there'}`)))
  await registry.change(deed, () => [gone('a')])
  await registry.change(deed, () => [role('c')])
  await engine.commit({ checks: [], writes: [{ key: keys.link(2), delete: true }] })
  await clock.pass(FOLLOW_MS + 1)
  assert.deepEqual(titles(other.all('role')), ['b:b', 'c:c'])
  assert.ok(told.includes('a gone') && told.includes('c there'), String(told))
})

test('TRAIL_LINKS_MAX links are kept, and a thousand more before they are dropped; the chain can be checked from the anchor', async () => {
  const { engine, open, registry } = await opened()
  await registry.change(deed, () => [role('a')])
  const head = decodeHead((await engine.read(keys.head))!.value)
  const last = TRAIL_LINKS_MAX + 999
  const link = (seq: number, prev: string) => encode({ seq, at: 0, server: 'one', prev, deeds: [], writes: [] })
  await engine.commit({
    checks: [],
    writes: [
      { key: keys.head, value: encode({ ...head, seq: last }) },
      { key: keys.link(1_001), value: link(1_001, 'before') },
      { key: keys.link(last), value: link(last, '') },
    ],
  })
  const other = await open('two')
  await other.change(deed, () => [role('b')])
  assert.equal(decodeHead((await engine.read(keys.head))!.value).firstSeq, 1, 'one more is kept')
  await other.change(deed, () => [role('c')])
  const { firstSeq, anchor } = decodeHead((await engine.read(keys.head))!.value)
  assert.deepEqual([firstSeq, anchor], [1_001, 'before'])
  assert.equal(await engine.read(keys.link(1)), null)
})

test('denials come into the trail, and a change that was answered as unknown is not begun when the store is back', async () => {
  const engine = new TestEngine()
  const { clock, registry } = await opened(engine)
  registry.note({ ...deed, action: 'lock.acquire', outcome: 'denied', status: 403 })
  await clock.pass(1_100)
  const { links } = await registry.trail({ after: 0, limit: 10 })
  assert.deepEqual(
    links.map(({ deeds }) => deeds.length),
    [1],
  )
  engine.hold(() => true)
  const first = registry.change(deed, () => [role('first')])
  const second = registry.change(deed, () => [role('second')])
  const told = Promise.allSettled([first, second])
  await clock.pass(CHANGE_MS_MAX + 100)
  engine.letGo()
  await clock.pass(5_000)
  assert.deepEqual(
    (await told).map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  assert.ok(registry.get('role', 'first'), 'it had been sent')
  assert.equal(registry.get('role', 'second'), null)
})

test('RECORD_BYTES_MAX for a record, PUTS_MAX for a change: one more is refused, and nothing is written', async () => {
  const { registry } = await opened()
  const of = (length: number) => role('a', 'x'.repeat(length - encode(role('a', '').value!).length))
  await registry.change(deed, () => [of(RECORD_BYTES_MAX)])
  await assert.rejects(
    registry.change(deed, () => [of(RECORD_BYTES_MAX + 1)]),
    /at most/,
  )
  const many = (count: number) => Array.from({ length: count }, (_, index) => role(`r-${index}`))
  await registry.change(deed, () => many(PUTS_MAX))
  await assert.rejects(
    registry.change(deed, () => many(PUTS_MAX + 1)),
    /at most/,
  )
  assert.equal(registry.seq, 2)
})

test('a view is fresh for VIEW_MS_MAX after the last look that was answered, and not a moment longer', async () => {
  const memory = openMemory()
  let isAway = false
  const read: Engine['read'] = (...asked) => (isAway ? Promise.reject(new Error('away')) : memory.read(...asked))
  const engine = new Proxy(memory, { get: (target, name) => (name === 'read' ? read : bound(target, name)) })
  const { clock, registry } = await opened(engine)
  await clock.pass(60_000)
  assert.equal(registry.isFresh, true)
  isAway = true
  await clock.pass(VIEW_MS_MAX - FOLLOW_MS)
  assert.equal(registry.isFresh, true)
  await clock.pass(FOLLOW_MS + 100)
  assert.equal(registry.isFresh, false)
  isAway = false
  await clock.pass(2 * FOLLOW_MS)
  assert.equal(registry.isFresh, true)
})

test('a view is not fresh after a suspension of the machine, though it was a moment before', async () => {
  const { clock, registry } = await opened(openMemory())
  assert.equal(registry.isFresh, true)
  clock.suspend(VIEW_MS_MAX + 1)
  assert.equal(registry.isFresh, false)
})

test('when a credential was last used is remembered, beside the trail', async () => {
  const { open, registry } = await opened()
  const credential = (value: CredentialRecord | null): Put[] => [{ kind: 'credential', id: 'k-1', value }]
  await registry.change(deed, () => credential(credentialRecord({ id: 'k-1' })))
  const uses = new Map([['k-1', 123]])
  await registry.recordUses(uses)
  const other = await open('two')
  const used = async () => [await other.lastUsedAtMs('k-1'), await other.lastUsedAtMs('k-2')]
  assert.deepEqual(await used(), [123, null])
  assert.equal(registry.seq, 1)
  await registry.change(deed, () => credential(null))
  assert.deepEqual(await used(), [null, null], 'it goes with the credential')
  await registry.recordUses(uses)
  assert.deepEqual(await used(), [null, null], 'and does not come back')
})

/** A watch that never tells: only the timer follows. */
function deaf(): Engine {
  const memory = openMemory()
  async function* watch({ signal }: { signal: AbortSignal }): AsyncGenerator<void> {
    await new Promise(resolve => signal.addEventListener('abort', resolve))
    yield
  }
  return new Proxy(memory, { get: (target, name) => (name === 'watch' ? watch : bound(target, name)) })
}

function bound(target: object, name: string | symbol): unknown {
  const value: unknown = Reflect.get(target, name)
  return typeof value === 'function' ? value.bind(target) : value
}
