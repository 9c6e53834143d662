/** What a seal promises: values that were touched do not open, and no key seals what it must not. */
import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemClock } from '../../clock.ts'
import { systemRandom } from '../../random.ts'
import { openMemory } from '../memory/memory.ts'
import { MemoryStore } from '../memory/store.ts'
import { dataKeyOf, SEAL_BYTES } from './envelope.ts'
import { KeyUnavailable, SealBroken, SealMismatch } from './failures.ts'
import { keySourceOf } from './key-source.ts'
import { refuseSealed, SEALS_PER_KEY_MAX } from './keyring.ts'
import { type Reencrypting, reencrypt, rewrap, statusOf } from './rotation.ts'
import { openSealed, type SealedEngine, type SealedOptions } from './sealed.ts'
import { sealing, testSource } from './testing.ts'

const surroundings = { clock: systemClock, random: systemRandom }
const text = (value: Uint8Array | undefined) => Buffer.from(value ?? []).toString()

async function world(options: Partial<SealedOptions> = {}) {
  const store = new MemoryStore()
  const opened: SealedEngine[] = []
  const open = async (more: Partial<SealedOptions> = {}) => {
    const engine = await openSealed(openMemory({ store }), sealing({ ...options, ...more }))
    opened.push(engine)
    return engine
  }
  const engine = await open()
  const put = async (key: string, value: string, through = engine) => {
    const result = await through.commit({ checks: [], writes: [{ key, value: Buffer.from(value) }] })
    assert.ok(result.ok)
    return result.revision
  }
  /** As whoever can write to the store would. */
  const overwrite = (key: string, value: Uint8Array) => store.commit({ checks: [], writes: [{ key, value }] })
  const raw = (key: string) => store.get(key)!.value
  const close = () => Promise.all(opened.map(each => each.close()))
  return { store, engine, open, put, overwrite, raw, close }
}

/** To seal everything anew, whoever holds it, and to wait for that. */
function asked(store: SealedEngine, more: Partial<Reencrypting> = {}): Reencrypting {
  return {
    store,
    root: 'test',
    clock: systemClock,
    signal: new AbortController().signal,
    valuesPerSecond: 100_000,
    progress: () => undefined,
    resealing: () => 'anybody',
    waitMs: 10_000,
    ...more,
  }
}

test('what is stored shows nothing of the value, and the same value never twice alike', async () => {
  const { put, raw, close } = await world()
  await put('test/a', 'canary canary')
  const first = raw('test/a')
  assert.equal(first.byteLength, 'canary canary'.length + SEAL_BYTES)
  assert.ok(!text(first).includes('canary'))
  await put('test/a', 'canary canary')
  assert.notDeepEqual(raw('test/a'), first)
  await close()
})

test('a value that was changed in any byte, cut, lengthened, swapped or put in the clear does not open', async () => {
  const { engine, put, raw, overwrite, close } = await world()
  await put('test/a', 'one')
  await put('test/b', 'two')
  const [a, b] = [raw('test/a'), raw('test/b')]
  const broken: Uint8Array[] = [b, a.subarray(0, -1), a.subarray(0, 10), new Uint8Array(0), Buffer.concat([a, a])]
  for (let place = 0; place < a.length; place++) {
    const changed = Buffer.from(a)
    changed[place]! ^= 1
    broken.push(changed)
  }
  broken.push(Buffer.from('one'), Buffer.from('{"in":"the clear"}'))
  for (const value of broken) {
    overwrite('test/a', value)
    await assert.rejects(engine.read('test/a'), SealBroken)
    await assert.rejects(engine.list({ prefix: 'test/', limit: 10 }), SealBroken)
    const failing = { checks: [{ key: 'test/a', modRevision: 1 }], writes: [{ key: 'test/c', value: a }] }
    await assert.rejects(engine.commit(failing), SealBroken)
  }
  overwrite('test/a', a)
  assert.equal(text((await engine.read('test/a'))?.value), 'one')
  await close()
})

test('a wrong key, none, or a store in the clear: none of them opens, and nothing is changed', async () => {
  const { store, put, close } = await world()
  await put('test/meta', 'meta')
  const { revision } = store
  await assert.rejects(openSealed(openMemory({ store }), sealing({ source: testSource('b') })), KeyUnavailable)
  await assert.rejects(refuseSealed(openMemory({ store }), 'test'), SealMismatch)
  assert.equal(store.revision, revision)
  const clear = new MemoryStore()
  clear.commit({ checks: [], writes: [{ key: 'test/meta', value: Buffer.from('{}') }] })
  await assert.rejects(openSealed(openMemory({ store: clear }), sealing()), SealMismatch)
  await refuseSealed(openMemory({ store: clear }), 'test')
  assert.equal(clear.get('test/keys/current'), null)
  await close()
})

test('a sealed store whose record of the current key is gone is not given another one', async () => {
  const { store, put, close } = await world()
  await put('test/meta', 'meta')
  store.commit({ checks: [], writes: [{ key: 'test/keys/current', delete: true }] })
  const { revision } = store
  await assert.rejects(openSealed(openMemory({ store }), sealing()), error => {
    assert.ok(error instanceof SealBroken)
    assert.match(error.message, /test\/keys\/current is not there/)
    return true
  })
  assert.equal(store.revision, revision)
  await close()
})

test('servers that start at the same time agree on one key', async () => {
  const store = new MemoryStore()
  const engines = await Promise.all(Array.from({ length: 5 }, () => openSealed(openMemory({ store }), sealing())))
  assert.equal(new Set(engines.map(({ keyring }) => keyring.current.id)).size, 1)
  assert.equal((await engines[0]!.keyring.list()).length, 1)
  for (const engine of engines) await engine.close()
})

test('a rotation is obeyed by who has not heard of it: by the next commit, without anybody noticing', async () => {
  const { engine, open, put, raw, close } = await world()
  let rotations = 0
  const other = await open({ onRotated: () => rotations++ })
  const before = await put('test/a', 'old', other)
  await engine.keyring.rotate()
  const { id } = engine.keyring.current
  assert.notEqual(other.keyring.current.id, id)
  const writes = [{ key: 'test/a', value: Buffer.from('new') }]
  assert.ok((await other.commit({ checks: [{ key: 'test/a', modRevision: before }], writes })).ok)
  assert.equal(dataKeyOf(raw('test/a')), id)
  assert.equal(rotations, 1)
  // And what fails for its own reason fails with what was found, not with the key.
  await engine.keyring.rotate()
  const failed = await other.commit({ checks: [{ key: 'test/a', modRevision: before }], writes })
  assert.ok(!failed.ok)
  assert.deepEqual(
    failed.found.map(pair => text(pair?.value)),
    ['new'],
  )
  await close()
})

test('what was sealed before a rotation and comes late is not applied', async () => {
  const { store, engine, put, close } = await world()
  await put('test/a', 'old')
  const sent: Parameters<typeof engine.inner.commit>[0][] = []
  const commit = engine.inner.commit.bind(engine.inner)
  engine.inner.commit = request => {
    sent.push(request)
    return commit(request)
  }
  await put('test/a', 'late')
  await engine.keyring.rotate()
  await put('test/a', 'new')
  assert.equal(store.commit(sent[0]!).ok, false)
  assert.equal(text((await engine.read('test/a'))?.value), 'new')
  await close()
})

test('no key seals more values than it may, over all servers and starts together', async () => {
  assert.ok(SEALS_PER_KEY_MAX <= 2 ** 30)
  const { store, open, put, close } = await world({ sealsPerKey: 40, sealsPerBlock: 10 })
  const sealedBy = new Map<string, number>()
  for (let start = 0; start < 6; start++) {
    const engine = await open()
    for (let count = 0; count < 17; count++) {
      await put('test/a', 'a', engine)
      const id = dataKeyOf(store.get('test/a')!.value)!
      sealedBy.set(id, (sealedBy.get(id) ?? 0) + 1)
    }
  }
  assert.equal(
    [...sealedBy.values()].reduce((sum, count) => sum + count),
    6 * 17,
  )
  assert.ok(sealedBy.size >= 3)
  for (const count of sealedBy.values()) assert.ok(count <= 40)
  await close()
})

test('re-encryption leaves nothing under an old key and drops it, but not before holders have sealed theirs', async () => {
  const { engine, put, raw, close } = await world()
  for (let count = 0; count < 300; count++) await put(`test/r/${count}`, String(count))
  for (const key of ['test/log/1', 'test/log/2', 'test/member']) await put(key, key)
  const old = engine.keyring.current.id
  await engine.keyring.rotate()
  const resealing = (key: string) =>
    key === 'test/member' ? 'holder' : key.startsWith('test/log/') ? { last: 'test/log/' } : 'anybody'
  const held = await reencrypt(asked(engine, { resealing, waitMs: 0 }))
  assert.deepEqual(held.left.sort(), ['test/log/2', 'test/member'])
  assert.equal(held.resealed, 301)
  assert.equal((await statusOf(engine, 'test')).find(({ id }) => id === old)?.values, 2)
  const done = reencrypt(asked(engine, { resealing }))
  await put('test/member', 'beat')
  await put('test/log/3', 'appended')
  assert.deepEqual((await done).dropped, [old])
  const [only, ...others] = await statusOf(engine, 'test')
  assert.deepEqual(others, [])
  assert.deepEqual([only?.isCurrent, only?.values], [true, 304])
  assert.equal(text((await engine.read('test/r/7'))?.value), '7')
  assert.notEqual(dataKeyOf(raw('test/log/2')), old)
  await close()
})

test('a key that came while others were being dropped is not dropped with them: what it seals still opens', async () => {
  const { store, engine, open, put, raw, close } = await world()
  const other = await open()
  for (let count = 0; count < 20; count++) await put(`test/r/${count}`, String(count))
  await engine.keyring.rotate()
  const { id } = engine.keyring.current
  // After the round in which nothing was left under an old key, and before it is known which keys there are.
  const list = engine.keyring.list.bind(engine.keyring)
  let came: string | null = null
  engine.keyring.list = async () => {
    if (
      came === null &&
      !store.list({ prefix: 'test/r/', limit: 100 }).pairs.some(({ value }) => dataKeyOf(value) !== id)
    ) {
      await other.keyring.refresh()
      await other.keyring.rotate()
      came = other.keyring.current.id
      await put('test/r/7', 'written since', other)
      assert.equal(dataKeyOf(raw('test/r/7')), came)
    }
    return list()
  }
  const done = await reencrypt(asked(engine))
  assert.notEqual(came, null)
  assert.ok(!done.dropped.includes(came!) && done.dropped.includes(id))
  const fresh = await open()
  assert.equal(fresh.keyring.current.id, came)
  for (const through of [engine, fresh])
    for (let count = 0; count < 20; count++) {
      const pair = await through.read(`test/r/${count}`)
      assert.equal(text(pair?.value), count === 7 ? 'written since' : String(count))
    }
  await close()
})

test('data keys are wrapped anew without touching a value; the former key then opens nothing', async () => {
  const { store, engine, put, raw, close } = await world()
  await put('test/a', 'kept')
  await engine.keyring.rotate()
  const value = raw('test/a')
  const [from, to] = [testSource('a'), testSource('b')]
  assert.equal(await rewrap(engine.keyring, engine, { from, to, clock: systemClock }), 2)
  assert.deepEqual(raw('test/a'), value)
  await assert.rejects(openSealed(openMemory({ store }), sealing()), KeyUnavailable)
  const again = await openSealed(openMemory({ store }), sealing({ source: to }))
  assert.equal(text((await again.read('test/a'))?.value), 'kept')
  await again.close()
  await close()
})

test('a KMS that opens what another key of it has wrapped is no reason to leave a data key under that other', async () => {
  const kms = (command: string) => keySourceOf({ type: 'kms', command }, surroundings)
  const [from, to] = [
    kms('cat'),
    kms('if [ $HOLDFAST_KMS_OPERATION = wrap ]; then sed s/^/new:/; else sed s/^new://; fi'),
  ]
  const { engine, put, close } = await world({ source: from })
  await put('test/a', 'kept')
  await engine.keyring.rotate()
  assert.equal(await rewrap(engine.keyring, engine, { from, to, clock: systemClock }), 2)
  for (const { wrapped } of await engine.keyring.list()) assert.match(wrapped.text, /^new:/)
  // One of the two is not what wrapped them, and says nothing of it.
  const wrong = kms('tr A-Za-z N-ZA-Mn-za-m')
  const both = { from: kms('sed s/^new://'), to: kms('sed s/^new:// | tr A-Za-z N-ZA-Mn-za-m'), clock: systemClock }
  await assert.rejects(rewrap(engine.keyring, engine, both), /differently/)
  await assert.rejects(rewrap(engine.keyring, engine, { ...both, from: wrong, to: wrong }), KeyUnavailable)
  await close()
})

test('a key file is private, well-formed, and never quoted', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-key.'))
  const path = join(folder, 'key')
  const source = keySourceOf({ type: 'file', path }, surroundings)
  const secret = Buffer.alloc(32, 7)
  await assert.rejects(source.wrap(secret, 'c'), KeyUnavailable)
  for (const key of ['ab'.repeat(32), Buffer.alloc(32, 0xab).toString('base64')]) {
    await writeFile(path, `${key}\n`, { mode: 0o600 })
    await chmod(path, 0o600)
    const wrapped = await source.wrap(secret, 'c')
    assert.deepEqual(await source.unwrap(wrapped, 'c'), secret)
    await assert.rejects(source.unwrap(wrapped, 'another place'), KeyUnavailable)
    await chmod(path, 0o640)
    await assert.rejects(source.wrap(secret, 'c'), /chmod 600/)
  }
  await chmod(path, 0o600)
  await writeFile(path, 'too short to be a key')
  await assert.rejects(
    source.wrap(secret, 'c'),
    error => error instanceof Error && !error.message.includes('too short'),
  )
  await rm(folder, { recursive: true })
})

test('a KMS wraps and unwraps without the key-encryption key being here', async () => {
  // Turns the text around, for both directions: what matters is what is asked of it.
  const kms = (command: string) => keySourceOf({ type: 'kms', command }, surroundings)
  const { engine, put, close } = await world({ source: kms('tr A-Za-z N-ZA-Mn-za-m') })
  await put('test/a', 'kept')
  assert.equal((await statusOf(engine, 'test'))[0]?.wrappedBy, 'kms')
  await close()
  await assert.rejects(kms('exit 3').wrap(Buffer.alloc(32), 'c'), /ended with 3/)
  await assert.rejects(kms('echo "$HOLDFAST_KMS_OPERATION"').wrap(Buffer.alloc(32), 'c'), KeyUnavailable)
  await assert.rejects(kms('head -c 100000 /dev/zero').wrap(Buffer.alloc(32), 'c'), /more than/)
})
