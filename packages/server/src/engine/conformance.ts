/**
 * The contract of an engine as tests, run by every engine. An engine that cannot start fails here; nothing is skipped.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import {
  COMMIT_BYTES_MAX,
  COMMIT_OPERATIONS_MAX,
  type Engine,
  EngineCompacted,
  EngineRefusal,
  KEY_BYTES_MAX,
  LIST_LIMIT_MAX,
  type Listing,
  type Write,
} from './engine.ts'

/** A store, empty at first. */
export type Store = {
  /** Again on the same store, once the engine before has been closed. */
  open(): Promise<Engine>
  /** Removes all traces. */
  dispose?(): Promise<void>
}

/** Runs the suite against the engine that is opened on the store that `make` makes. */
export function conformance(name: string, make: () => Promise<Store>): void {
  describe(`engine ${name}`, () => {
    let store: Store
    let engine: Engine
    before(async () => {
      store = await make()
      engine = await store.open()
    })
    after(async () => {
      await engine?.close()
      await store?.dispose?.()
    })
    const use = () => engine
    comparing(use)
    deleting(use)
    listing(use)
    pinning(use)
    limits(use)
    racing(use)
    test('revisions and contents survive closing and opening', async () => {
      const put = await commitOk(engine, [], [{ key: 'again/a', value: bytes('kept') }])
      await engine.close()
      engine = await store.open()
      const kept = await engine.read('again/a')
      assert.equal(text(kept?.value), 'kept')
      assert.equal(kept?.modRevision, put)
      assert.ok((await commitOk(engine, [], [{ key: 'again/b', value: bytes('new') }])) > put)
    })
    test('a closed engine refuses', async () => {
      await engine.close()
      await engine.close()
      await assert.rejects(engine.read('x'), EngineRefusal)
      await assert.rejects(engine.commit({ checks: [], writes: [] }), EngineRefusal)
    })
  })
}

const bytes = (value: string) => new TextEncoder().encode(value)
const text = (value: Uint8Array | undefined) => (value ? new TextDecoder().decode(value) : null)
const check = (key: string, modRevision: number) => ({ key, modRevision })

async function commitOk(
  engine: Engine,
  checks: { key: string; modRevision: number }[],
  writes: Write[],
): Promise<number> {
  const result = await engine.commit({ checks, writes })
  assert.ok(result.ok, 'the commit was to pass')
  return result.revision
}

function comparing(use: () => Engine): void {
  test('a key is at the revision of the commit that wrote it', async () => {
    const revision = await commitOk(use(), [check('a', 0)], [{ key: 'a', value: bytes('one') }])
    const pair = await use().read('a')
    assert.deepEqual([pair?.key, text(pair?.value), pair?.modRevision], ['a', 'one', revision])
    assert.equal(await use().read('never'), null)
  })
  test('every write of one commit gets the same revision, higher than all before', async () => {
    const before = (await use().list({ prefix: 'a', limit: 1 })).revision
    const revision = await commitOk(
      use(),
      [],
      [
        { key: 'b/1', value: bytes('1') },
        { key: 'b/2', value: bytes('2') },
      ],
    )
    assert.ok(revision > before)
    const { pairs } = await use().list({ prefix: 'b/', limit: 10 })
    assert.deepEqual(
      pairs.map(pair => pair.modRevision),
      [revision, revision],
    )
  })
  test('absence is a check that fails once the key is there', async () => {
    await commitOk(use(), [check('c', 0)], [{ key: 'c', value: bytes('first') }])
    const second = await use().commit({ checks: [check('c', 0)], writes: [{ key: 'c', value: bytes('second') }] })
    assert.equal(second.ok, false)
    assert.equal(text((await use().read('c'))?.value), 'first')
  })
  test('a failed commit writes nothing, and says what each check found', async () => {
    const revision = await commitOk(use(), [], [{ key: 'd/1', value: bytes('there') }])
    const result = await use().commit({
      checks: [check('d/1', revision), check('d/2', 0), check('d/1', revision - 1), check('d/3', 7)],
      writes: [
        { key: 'd/2', value: bytes('no') },
        { key: 'd/1', delete: true },
      ],
    })
    assert.ok(!result.ok)
    assert.deepEqual(
      result.found.map(pair => pair && [pair.key, text(pair.value), pair.modRevision]),
      [['d/1', 'there', revision], null, ['d/1', 'there', revision], null],
    )
    assert.equal(await use().read('d/2'), null)
    assert.equal(text((await use().read('d/1'))?.value), 'there')
  })
  test('a commit without writes only compares', async () => {
    const revision = await commitOk(use(), [], [{ key: 'e', value: bytes('e') }])
    assert.equal(await commitOk(use(), [check('e', revision)], []), revision)
    assert.equal((await use().commit({ checks: [check('e', revision + 1)], writes: [] })).ok, false)
  })
  test('bytes come back as they went, and are copies', async () => {
    const value = Uint8Array.from({ length: 256 }, (_, index) => index)
    await commitOk(
      use(),
      [],
      [
        { key: 'bytes', value },
        { key: 'empty', value: new Uint8Array(0) },
      ],
    )
    const read = await use().read('bytes')
    assert.deepEqual([...(read?.value ?? [])], [...value])
    read!.value.fill(0)
    assert.deepEqual([...((await use().read('bytes'))?.value ?? [])], [...value])
    assert.equal((await use().read('empty'))?.value.byteLength, 0)
  })
}

function deleting(use: () => Engine): void {
  test('a deleted key is absent, and absence counts as revision 0 again', async () => {
    const revision = await commitOk(use(), [], [{ key: 'f', value: bytes('f') }])
    await commitOk(use(), [check('f', revision)], [{ key: 'f', delete: true }])
    assert.equal(await use().read('f'), null)
    const again = await commitOk(use(), [check('f', 0)], [{ key: 'f', value: bytes('f') }])
    assert.ok(again > revision + 1, 'a revision is never used twice')
  })
  test('deleting what is not there is no error', async () => {
    await commitOk(
      use(),
      [],
      [
        { key: 'nothing', delete: true },
        { from: 'nothing/', to: 'nothing0', delete: true },
      ],
    )
  })
  test('a range is deleted from its first key up to, not including, its last', async () => {
    for (const key of ['g/1', 'g/2', 'g/3', 'g/4']) await commitOk(use(), [], [{ key, value: bytes(key) }])
    await commitOk(
      use(),
      [],
      [
        { from: 'g/2', to: 'g/4', delete: true },
        { key: 'g/5', value: bytes('g/5') },
      ],
    )
    const { pairs } = await use().list({ prefix: 'g/', limit: 10 })
    assert.deepEqual(
      pairs.map(pair => pair.key),
      ['g/1', 'g/4', 'g/5'],
    )
  })
  test('a key written twice in one commit, or inside its deleted range, is refused', async () => {
    const put = { key: 'h/2', value: bytes('h') }
    await assert.rejects(use().commit({ checks: [], writes: [put, put] }), EngineRefusal)
    const range: Write = { from: 'h/1', to: 'h/3', delete: true }
    await assert.rejects(use().commit({ checks: [], writes: [range, put] }), EngineRefusal)
    assert.equal(await use().read('h/2'), null)
  })
  test('a late duplicate of a commit is refused through its predecessor', async () => {
    const first = await commitOk(use(), [], [{ key: 'log/1', value: bytes('1') }])
    const append = { checks: [check('log/1', first), check('log/2', 0)], writes: [{ key: 'log/2', value: bytes('2') }] }
    const second = await commitOk(use(), append.checks, append.writes)
    await commitOk(use(), [check('log/2', second)], [{ key: 'log/3', value: bytes('3') }])
    // Cleaned, oldest first: the absence that the duplicate checks is true again.
    await commitOk(use(), [], [{ from: 'log/1', to: 'log/3', delete: true }])
    assert.equal((await use().commit(append)).ok, false)
    assert.equal(await use().read('log/2'), null)
  })
}

function listing(use: () => Engine): void {
  const keys = ['l/', 'l/!', 'l/0', 'l/a', 'l/a/b', 'l/é', 'l/\uffee', 'l/\u{1f512}', 'l/\u{10ffff}']
  test('a listing is in the order of bytes, and knows its prefix', async () => {
    const writes = [...keys].reverse().map(key => ({ key, value: bytes(key) }))
    await commitOk(use(), [], [...writes, { key: 'k', value: bytes('k') }, { key: 'l0', value: bytes('l0') }])
    const { pairs, more } = await use().list({ prefix: 'l/', limit: 100 })
    assert.deepEqual(
      pairs.map(pair => pair.key),
      keys,
    )
    assert.deepEqual(
      pairs.map(pair => text(pair.value)),
      keys,
    )
    assert.equal(more, false)
  })
  test('pages join without a gap or a repeat, and say whether more follows', async () => {
    for (const limit of [1, 2, 3, keys.length - 1, keys.length]) {
      const seen: string[] = []
      for (let after: string | undefined; ; after = seen.at(-1)!) {
        const page = await use().list({ prefix: 'l/', limit, ...(after === undefined ? {} : { after }) })
        assert.ok(page.pairs.length <= limit)
        seen.push(...page.pairs.map(pair => pair.key))
        if (!page.more) break
        assert.equal(page.pairs.length, limit)
      }
      assert.deepEqual(seen, keys, `pages of ${limit}`)
    }
  })
  test('a page after a key that is not there, or before the prefix, starts where it would stand', async () => {
    assert.deepEqual((await use().list({ prefix: 'l/', limit: 1, after: 'l/b' })).pairs[0]?.key, 'l/é')
    assert.deepEqual((await use().list({ prefix: 'l/', limit: 1, after: 'k' })).pairs[0]?.key, 'l/')
    assert.deepEqual((await use().list({ prefix: 'l/', limit: 1, after: 'm' })).pairs, [])
  })
}

function pinning(use: () => Engine): void {
  const put = (key: string, value: string) => commitOk(use(), [], [{ key, value: bytes(value) }])
  const texts = (pairs: { key: string; value: Uint8Array }[]) => pairs.map(({ key, value }) => `${key}=${text(value)}`)
  test('a listing at the present revision is the present, page after page', async () => {
    for (const key of ['p/1', 'p/2', 'p/3']) await put(key, 'old')
    const first = await use().list({ prefix: 'p/', limit: 2 })
    const second = await use().list({ prefix: 'p/', limit: 2, after: 'p/2', revision: first.revision })
    assert.deepEqual(texts([...first.pairs, ...second.pairs]), ['p/1=old', 'p/2=old', 'p/3=old'])
    assert.equal(second.revision, first.revision)
    assert.equal(second.more, false)
  })
  test('a listing at a past revision is that past, or is refused; it never shows what came later', async () => {
    const { revision } = await use().list({ prefix: 'p/', limit: 1 })
    await put('p/1', 'new')
    await commitOk(use(), [], [{ from: 'p/2', to: 'p/3', delete: true }])
    await put('p/4', 'new')
    const past = await use()
      .list({ prefix: 'p/', limit: 10, revision })
      .catch((error: unknown) => error)
    if (past instanceof Error) assert.ok(past instanceof EngineCompacted)
    else assert.deepEqual(texts((past as Listing).pairs), ['p/1=old', 'p/2=old', 'p/3=old'])
    assert.deepEqual(texts((await use().list({ prefix: 'p/', limit: 10 })).pairs), ['p/1=new', 'p/3=old', 'p/4=new'])
  })
  test('what must be at least so new is so new, or is not answered', async () => {
    const revision = await put('p/1', 'newest')
    assert.equal(text((await use().read('p/1', { atLeast: revision }))?.value), 'newest')
    const listing = await use().list({ prefix: 'p/1', limit: 1, atLeast: revision })
    assert.ok(listing.revision >= revision)
    assert.equal(text(listing.pairs[0]?.value), 'newest')
    const isNotYet = (error: unknown) => error instanceof Error && !(error instanceof EngineCompacted)
    await assert.rejects(use().read('p/1', { atLeast: revision + 1_000 }), isNotYet)
    await assert.rejects(use().list({ prefix: 'p/', limit: 1, atLeast: revision + 1_000 }), isNotYet)
    await assert.rejects(use().list({ prefix: 'p/', limit: 1, revision: revision + 1_000 }), isNotYet)
  })
  test('the size is told, and is within the quota if there is one', async () => {
    const { usedBytes, liveBytes, quotaBytes } = await use().size()
    assert.ok(liveBytes > 0 && liveBytes <= usedBytes)
    assert.ok(quotaBytes === null || usedBytes < quotaBytes)
  })
}

function limits(use: () => Engine): void {
  const refused = (writes: Write[], checks: { key: string; modRevision: number }[] = []) =>
    assert.rejects(use().commit({ checks, writes }), EngineRefusal)
  test('keys have up to KEY_BYTES_MAX bytes', async () => {
    const longest = `n/${'é'.repeat((KEY_BYTES_MAX - 2) / 2)}`
    await commitOk(use(), [check(longest, 0)], [{ key: longest, value: bytes('long') }])
    assert.equal(text((await use().read(longest))?.value), 'long')
    assert.equal((await use().list({ prefix: longest, limit: 1 })).pairs.length, 1)
    await refused([{ key: `${longest}x`, value: bytes('') }])
    await refused([{ key: '', value: bytes('') }])
    await refused([{ key: 'lone \ud800', value: bytes('') }])
    await assert.rejects(use().read(`${longest}x`), EngineRefusal)
  })
  test('a commit has up to COMMIT_BYTES_MAX bytes', async () => {
    const key = 'n/large'
    const largest = new Uint8Array(COMMIT_BYTES_MAX - key.length).fill(7)
    await commitOk(use(), [], [{ key, value: largest }])
    assert.deepEqual((await use().read(key))?.value.byteLength, largest.byteLength)
    await refused([{ key, value: new Uint8Array(largest.byteLength + 1) }])
    assert.equal((await use().read(key))?.value[0], 7)
  })
  test('a commit has up to COMMIT_OPERATIONS_MAX checks and writes', async () => {
    const puts = (count: number) =>
      Array.from({ length: count }, (_, index) => ({ key: `n/o/${index}`, value: bytes('o') }))
    await commitOk(use(), [check('n/none', 0)], puts(COMMIT_OPERATIONS_MAX - 1))
    await refused(puts(COMMIT_OPERATIONS_MAX), [check('n/none', 0)])
  })
  test('a listing has 1 to LIST_LIMIT_MAX pairs', async () => {
    await use().list({ prefix: 'n/', limit: LIST_LIMIT_MAX })
    for (const limit of [0, -1, 1.5, LIST_LIMIT_MAX + 1]) {
      await assert.rejects(use().list({ prefix: 'n/', limit }), EngineRefusal)
    }
  })
  test('a revision in a check is a whole number', async () => {
    for (const modRevision of [-1, 0.5, Number.NaN]) await refused([], [check('n/r', modRevision)])
    await assert.rejects(use().list({ prefix: 'n/', limit: 1, revision: 0.5 }), EngineRefusal)
  })
}

function racing(use: () => Engine): void {
  test('of commits under one check exactly one passes', async () => {
    const revision = await commitOk(use(), [], [{ key: 'race', value: bytes('start') }])
    const racers = Array.from({ length: 20 }, (_, index) =>
      use().commit({ checks: [check('race', revision)], writes: [{ key: 'race', value: bytes(String(index)) }] }),
    )
    const results = await Promise.all(racers)
    assert.equal(results.filter(result => result.ok).length, 1)
    const winner = results.findIndex(result => result.ok)
    assert.equal(text((await use().read('race'))?.value), String(winner))
  })
  test('concurrent increments all count', async () => {
    await commitOk(use(), [], [{ key: 'count', value: bytes('0') }])
    const increment = async () => {
      for (;;) {
        const pair = await use().read('count')
        const next = String(Number(text(pair!.value)) + 1)
        const checks = [check('count', pair!.modRevision)]
        if ((await use().commit({ checks, writes: [{ key: 'count', value: bytes(next) }] })).ok) return
      }
    }
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let turn = 0; turn < 10; turn++) await increment()
      }),
    )
    assert.equal(text((await use().read('count'))?.value), '80')
  })
  test('a watch hints at a change under its prefix, and ends with its signal', async () => {
    const stop = new AbortController()
    const hints = use().watch({ prefix: 'w/', signal: stop.signal })[Symbol.asyncIterator]()
    const first = hints.next()
    await commitOk(use(), [], [{ key: 'other', value: bytes('x') }])
    await commitOk(use(), [], [{ key: 'w/1', value: bytes('x') }])
    assert.equal((await first).done, false)
    const last = hints.next()
    stop.abort()
    while (!(await last).done && !(await hints.next()).done);
  })
}
