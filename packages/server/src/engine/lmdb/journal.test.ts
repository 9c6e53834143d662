import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { copyFile, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type CommitRequest, type Engine, EngineFatal } from '../engine.ts'
import { MemoryStore } from '../memory/store.ts'
import { JOURNAL_BYTES_MIN, Journal } from './journal.ts'
import { openLmdb } from './lmdb.ts'
import { BLOCK_BYTES, decodeRecord, encodeRecord, type JournalRecord, type OwnWrite, recordBytesMax } from './record.ts'

const SALT = 0x12345678

async function withFolder(act: (path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-journal.'))
  try {
    await act(path)
  } finally {
    await rm(path, { recursive: true, force: true })
  }
}

const put = (key: string, bytes: number): OwnWrite => ({ key, value: Buffer.alloc(bytes, key) })

async function written(path: string, commits: readonly OwnWrite[][]): Promise<void> {
  const journal = await Journal.open(path, { bytes: JOURNAL_BYTES_MIN, salt: SALT })
  for (const [index, writes] of commits.entries()) {
    if (!journal.hasRoom([writes])) journal.turn()
    await journal.append(index + 1, [writes])
  }
  await journal.close()
}

async function revisionsAfter(path: string, after: number): Promise<number[]> {
  const journal = await Journal.open(path, { bytes: JOURNAL_BYTES_MIN, salt: SALT })
  try {
    return (await journal.recordsAfter(after)).map(({ revision }) => revision)
  } finally {
    await journal.close()
  }
}

async function spoil(file: string, offset: number): Promise<void> {
  const handle = await open(file, 'r+')
  await handle.write(Buffer.from([0xff]), 0, 1, offset)
  await handle.close()
}

test('a record comes back as it was, and not when a bit of it is another', () => {
  const writes: OwnWrite[] = [
    put('a', 5_000),
    { key: 'ü', delete: true },
    { from: 'f', to: 'g\u{1f512}', delete: true },
    put('empty', 0),
  ]
  const record: JournalRecord = { revision: 2 ** 52, use: 2n ** 64n - 1n, commits: [writes, [put('b', 1)]] }
  const bytes = Buffer.alloc(recordBytesMax(record.commits))
  const length = encodeRecord(bytes, record, SALT)
  assert.equal(length % BLOCK_BYTES, 0)
  assert.deepEqual(decodeRecord(bytes, SALT), { record, length })
  assert.equal(decodeRecord(bytes, SALT + 1), null)
  for (const place of [0, 5, 9, 13, 30, 4_000, 5_020]) {
    const spoilt = Buffer.from(bytes)
    spoilt[place]! ^= 1
    assert.equal(decodeRecord(spoilt, SALT), null, `byte ${place}`)
  }
})

test('all that was appended is read again, over both files, beyond what LMDB has', () =>
  withFolder(async path => {
    const commits = Array.from({ length: 60 }, (_, index) => [put(`key ${index}`, 50_000)])
    await written(path, commits)
    assert.deepEqual(await revisionsAfter(path, 57), [58, 59, 60])
  }))

test('the last record may be torn, and one before it may not', () =>
  withFolder(async path => {
    await written(path, [[put('a', 10)], [put('b', 10)], [put('c', 10)]])
    await spoil(join(path, 'journal-0'), 2 * BLOCK_BYTES + 30)
    assert.deepEqual(await revisionsAfter(path, 0), [1, 2])
    await copyFile(join(path, 'journal-0'), join(path, 'torn'))
    await written(path, [[put('a', 10)], [put('b', 10)], [put('c', 10)]])
    await spoil(join(path, 'journal-0'), BLOCK_BYTES + 30)
    await assert.rejects(revisionsAfter(path, 0), /damaged before commit 3/)
    assert.deepEqual(await revisionsAfter(path, 3), [], 'of what LMDB has nothing is needed')
    await spoil(join(path, 'journal-0'), 30)
    await assert.rejects(revisionsAfter(path, 0), EngineFatal)
  }))

test('of what was written at once all is there or nothing is, also when part of it is on the disk', () =>
  withFolder(async path => {
    await written(path, [[put('a', 10)]])
    const journal = await Journal.open(path, { bytes: JOURNAL_BYTES_MIN, salt: SALT })
    await journal.append(1, [[put('a', 10)]])
    await journal.append(2, [[put('b', 9_000)], [put('c', 10)], [put('d', 10)]])
    await journal.close()
    assert.deepEqual(await revisionsAfter(path, 0), [1, 2])
    await spoil(join(path, 'journal-0'), 2 * BLOCK_BYTES)
    assert.deepEqual(await revisionsAfter(path, 0), [1])
    // Begun anew, it takes nothing for its own that an earlier use has left behind.
    await written(path, [[put('x', 10)]])
    assert.deepEqual(await revisionsAfter(path, 0), [1])
  }))

test('what a client puts where a record could begin is taken for none', () =>
  withFolder(async path => {
    const forged = Buffer.alloc(BLOCK_BYTES)
    encodeRecord(forged, { revision: 1_000, use: 7n, commits: [[put('forged', 10)]] }, SALT + 1)
    const value = Buffer.concat([Buffer.alloc(BLOCK_BYTES - 32 - 4 - 7 - 1), forged, Buffer.alloc(5_000)])
    await written(path, [[{ key: 'k', value }]])
    const handle = await open(join(path, 'journal-0'), 'r')
    const { buffer } = await handle.read(Buffer.alloc(BLOCK_BYTES), 0, BLOCK_BYTES, BLOCK_BYTES)
    await handle.close()
    assert.equal(decodeRecord(buffer, SALT + 1)?.record.revision, 1_000, 'it lies where it was meant to lie')
    await spoil(join(path, 'journal-0'), 40)
    assert.deepEqual(await revisionsAfter(path, 0), [], 'torn, and nothing behind it')
  }))

test('records that are missing between LMDB and the journal are told', () =>
  withFolder(async path => {
    const journal = await Journal.open(path, { bytes: JOURNAL_BYTES_MIN, salt: SALT })
    await journal.append(5, [[put('a', 10)], [put('b', 10)]])
    await journal.close()
    await assert.rejects(revisionsAfter(path, 3), /commit 4 is missing, and 5 is there/)
    assert.deepEqual(await revisionsAfter(path, 4), [5])
  }))

test('a full journal goes to LMDB, and the store is at all times what a map would be, also when it is opened anew', () =>
  withFolder(async path => {
    const draw = drawing(42)
    const model = new MemoryStore()
    let engine: Engine = await openLmdb({ path, journalBytes: JOURNAL_BYTES_MIN })
    try {
      for (let step = 0; step < 3_000; step++) {
        const requests = Array.from({ length: 1 + draw(3) }, () => requestOf(draw, model))
        const expected = requests.map(request => model.commit(request))
        assert.deepEqual(shown(await Promise.all(requests.map(request => engine.commit(request)))), shown(expected))
        if (step % 20 === 0) {
          const options = { prefix: 'k', limit: 1 + draw(40), ...(draw(2) === 0 ? { after: keyOf(draw) } : {}) }
          assert.deepEqual(shown(await engine.list(options)), shown(model.list(options)))
          const key = keyOf(draw)
          assert.deepEqual(shown(await engine.read(key)), shown(model.get(key)))
        }
        if (step % 700 === 699) {
          await engine.close()
          engine = await openLmdb({ path, journalBytes: JOURNAL_BYTES_MIN })
        }
      }
    } finally {
      await engine.close()
    }
  }))

test('scans that have the file opened anew disturb no commit, and no commit a scan', () =>
  withFolder(async path => {
    const engine = await openLmdb({ path, journalBytes: JOURNAL_BYTES_MIN, scannedBytesMax: 1 })
    const revisions = new Set<number>()
    const writing = async (writer: number) => {
      for (let step = 0; step < 150; step++) {
        const key = `k/${writer}/${step % 20}`
        const range = { from: `k/${writer}/`, to: `k/${writer}/5`, delete: true as const }
        const writes = step % 10 === 9 ? [range] : [{ key, value: Buffer.alloc(40_000, key) }]
        revisions.add((await engine.commit({ checks: [], writes })).revision)
      }
    }
    const scanning = async () => {
      for (let step = 0; step < 200; step++) {
        const { pairs } = await engine.list({ prefix: 'k/', limit: 100 })
        for (const { key, value } of pairs) assert.ok(Buffer.from(value).toString().startsWith(key))
        assert.ok((await engine.size()).usedBytes > 0)
      }
    }
    try {
      await Promise.all([writing(0), writing(1), scanning(), scanning()])
      assert.equal(revisions.size, 300, 'each has one of its own')
      const { pairs } = await engine.list({ prefix: 'k/', limit: 100 })
      assert.deepEqual(
        pairs.map(({ key }) => key).filter(key => key < 'k/1/5'),
        pairs.map(({ key }) => key).filter(key => key >= 'k/0/5' && key < 'k/1/'),
      )
    } finally {
      await engine.close()
    }
  }))

/** With digests for values: what differs is to be read by people, and soon. */
function shown(found: unknown): string {
  return JSON.stringify(found, (_, value: unknown) =>
    typeof value === 'object' && value !== null && 'modRevision' in value && 'value' in value
      ? { ...value, value: hash('sha1', value.value as Uint8Array) } // a pair
      : value,
  )
}

/** Numbers below what is asked for, the same for the same seed (mulberry32). */
function drawing(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

function keyOf(draw: (below: number) => number): string {
  return `k${['', '/é', '/\u{10ffff}', '/\uffee'][draw(4)]}${draw(40)}`
}

function requestOf(draw: (below: number) => number, model: MemoryStore): CommitRequest {
  const checked = keyOf(draw)
  const isTrue = draw(4) > 0
  const modRevision = isTrue ? (model.get(checked)?.modRevision ?? 0) : draw(10)
  const from = `k${draw(40)}`
  if (draw(10) === 0) return { checks: [], writes: [{ from, to: `k${draw(40)}`, delete: true }] }
  const key = keyOf(draw)
  const write = draw(4) === 0 ? { key, delete: true as const } : { key, value: Buffer.alloc(draw(9_000) + 1, key) }
  return { checks: [{ key: checked, modRevision }], writes: draw(12) === 0 ? [] : [write] }
}
