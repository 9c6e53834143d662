/** `withKeys` beside a process that has the embedded store; what the command line makes of it is in `test/system/encryption.test.ts`. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Clock, systemClock } from './clock.ts'
import { type Engine, EngineFatal } from './engine/engine.ts'
import { openLmdb } from './engine/lmdb/lmdb.ts'
import { keySourceOf } from './engine/sealed/key-source.ts'
import { openSealed } from './engine/sealed/sealed.ts'
import { ANSWER_MS_MAX } from './engine/served/guest.ts'
import { serveEngine } from './engine/served/serve.ts'
import { KeysFailure, withKeys } from './keys.ts'
import { StoreInUse } from './process-lock/holder.ts'
import { systemRandom } from './random.ts'
import { keysUnder } from './shards/keys.ts'

const ROOT = 'holdfast'
const surroundings = { clock: systemClock, random: systemRandom }

/** A sealed store in the folder of a server that has it. */
async function world(t: TestContext) {
  const data = await mkdtemp(join(tmpdir(), 'holdfast-keys.'))
  t.after(() => rm(data, { recursive: true }))
  const path = join(data, 'kek')
  await writeFile(path, 'a1'.repeat(32), { mode: 0o600 })
  const engine = await openLmdb({ path: join(data, 'store') })
  t.after(() => engine.close())
  const source = keySourceOf({ type: 'file', path }, surroundings)
  const sealed = await openSealed(engine, { ...surroundings, root: ROOT, meta: keysUnder(ROOT).meta, source })
  t.after(() => sealed.close())
  const put = (key: string, value: string) =>
    sealed.commit({ checks: [], writes: [{ key: `${ROOT}/${key}`, value: Buffer.from(value) }] })
  await put('meta', 'a cluster')
  return { engine, sealed, put, sources: { args: ['--data', data, '--encryption-key-file', path], env: {} } }
}

/** The engine, whose commits somebody else makes. */
function committing(engine: Engine, commit: Engine['commit']): Engine {
  return {
    name: engine.name,
    read: (key, options) => engine.read(key, options),
    list: options => engine.list(options),
    watch: options => engine.watch(options),
    size: () => engine.size(),
    close: () => engine.close(),
    commit,
  }
}

/** Time that passes when it is waited for, and tells of each wait. */
function hurried(onWait: () => unknown = () => undefined): Clock & { passedMs(): number } {
  let passedMs = 0
  return {
    ...systemClock,
    passedMs: () => passedMs,
    hrtimeMs: () => passedMs,
    bootMs: () => passedMs,
    after(delayMs, callback) {
      // No wait: the time that an answer may take.
      if (delayMs === ANSWER_MS_MAX) return systemClock.after(delayMs, callback)
      return systemClock.after(0, async () => {
        passedMs += delayMs
        await onWait()
        callback()
      })
    },
  }
}

const reencrypting = { valuesPerSecond: 100_000, waitMs: 60_000, progress: () => undefined }

test('the keys of a store that another process serves are changed while that process writes', async t => {
  const { engine, sealed, put, sources } = await world(t)
  const served = await serveEngine(engine)
  t.after(served.close)
  await engine.serveAt(served)
  let written = 0
  let isDone = false
  const writing = (async () => {
    while (!isDone) await put(`written/${++written}`, `value ${written}`)
  })()
  const signal = new AbortController().signal
  try {
    await withKeys(sources, async keys => {
      const [before] = await keys.status()
      const id = await keys.rotate()
      assert.notEqual(id, before?.id)
      const { dropped, left } = await keys.reencrypt({ ...reencrypting, signal })
      assert.deepEqual([dropped, left], [[before?.id], []])
      const [after, ...others] = await keys.status()
      assert.deepEqual([after?.id, after?.isCurrent, others], [id, true, []])
    })
  } finally {
    isDone = true
    await writing
  }
  for (const index of [1, written]) {
    const pair = await sealed.read(`${ROOT}/written/${index}`)
    assert.equal(Buffer.from(pair?.value ?? []).toString(), `value ${index}`)
  }
})

test('a store that another process has and does not serve is waited for, and then that is said', async t => {
  const { engine, sources } = await world(t)
  const told = async (wanted: RegExp) => {
    const clock = hurried()
    await assert.rejects(
      withKeys(sources, keys => keys.status(), clock),
      error => error instanceof KeysFailure && error.cause instanceof StoreInUse && wanted.test(error.message),
    )
    assert.ok(clock.passedMs() > 1_000)
  }
  await told(/does not say where/)
  const served = await serveEngine(engine)
  await engine.serveAt(served)
  await served.close()
  await told(/ENOENT/)
})

test('a server that starts meanwhile is met when it serves, one that stops leaves the store', async t => {
  const { engine, sealed, sources } = await world(t)
  const served = await serveEngine(engine)
  t.after(served.close)
  let waits = 0
  const starting = hurried(() => ++waits === 3 && engine.serveAt(served))
  assert.equal((await withKeys(sources, keys => keys.status(), starting)).length, 1)
  assert.equal(waits >= 3, true)
  await served.close()
  waits = 0
  const stopping = hurried(() => ++waits === 3 && sealed.close())
  assert.equal((await withKeys(sources, keys => keys.status(), stopping)).length, 1)
})

test('a re-encryption that has the store to itself waits for no server', async t => {
  const { sealed, put, sources } = await world(t)
  await put('shards/0/owner', 'a server that has ended')
  await sealed.close()
  const clock = hurried()
  const signal = new AbortController().signal
  const { left, dropped } = await withKeys(
    sources,
    async keys => {
      await keys.rotate()
      return keys.reencrypt({ ...reencrypting, signal })
    },
    clock,
  )
  assert.deepEqual([left, dropped], [[`${ROOT}/shards/0/owner`], []])
  assert.ok(clock.passedMs() < reencrypting.waitMs / 2)
})

test('when the server ends in the middle, the command says so and ends', async t => {
  const signal = new AbortController().signal
  // Of the new key, of the reminder, of the seals that are put aside, of what is sealed anew.
  for (const last of [1, 2, 3, 4]) {
    const { engine, put, sources } = await world(t)
    const ending: { close(): unknown } = { close: () => undefined }
    let commits = 0
    const served = await serveEngine(
      committing(engine, request => {
        if (++commits === last) void ending.close()
        return engine.commit(request)
      }),
    )
    ending.close = served.close
    await engine.serveAt(served)
    await put('registry/a', 'sealed under the first key')
    const changing = withKeys(sources, async keys => {
      await keys.rotate()
      return keys.reencrypt({ ...reencrypting, signal })
    })
    await assert.rejects(
      changing,
      error =>
        (error instanceof KeysFailure || error instanceof EngineFatal) && /process that holds/.test(error.message),
    )
    assert.equal(commits, last)
  }
})

test('keys that were wrapped anew in part are wrapped anew by the same command, and open with the new key', async t => {
  const { engine, sealed, put, sources } = await world(t)
  await put('registry/a', 'first')
  for (const value of ['second', 'third']) {
    await sealed.keyring.rotate()
    await put(`registry/${value}`, value)
  }
  const next = join(sources.args[1]!, 'next')
  await writeFile(next, 'b2'.repeat(32), { mode: 0o600 })
  const to = { type: 'file', path: next } as const
  let commitsLeft = 1
  const served = await serveEngine(
    committing(engine, request =>
      commitsLeft-- > 0 ? engine.commit(request) : Promise.reject(new EngineFatal('killed')),
    ),
  )
  t.after(served.close)
  await engine.serveAt(served)
  await assert.rejects(withKeys(sources, keys => keys.rewrap(to)))
  const wrappers = async () => new Set((await sealed.keyring.list()).map(({ wrapped }) => wrapped.by))
  assert.equal((await wrappers()).size, 2)
  commitsLeft = 10
  assert.equal(await withKeys(sources, keys => keys.rewrap(to)), 2)
  assert.equal((await wrappers()).size, 1)
  assert.equal(await withKeys(sources, keys => keys.rewrap(to)), 0)
  await assert.rejects(
    withKeys(sources, keys => keys.status()),
    KeysFailure,
  )
  const settings = { ...surroundings, root: ROOT, meta: keysUnder(ROOT).meta, source: keySourceOf(to, surroundings) }
  const opened = await openSealed(engine, settings)
  t.after(() => opened.keyring.close())
  const { pairs } = await opened.list({ prefix: `${ROOT}/registry/`, limit: 10 })
  assert.deepEqual(
    pairs.map(({ value }) => Buffer.from(value).toString()),
    ['first', 'second', 'third'],
  )
})
