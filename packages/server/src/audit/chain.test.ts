import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openRegistry } from '../registry/registry.ts'
import { registryKeysUnder } from '../registry/store.ts'
import { batchText } from '../shards/batch.ts'
import { decodeIndex, encodeIndex } from './archive-index.ts'
import { StoredAudit } from './audit.ts'
import { CHECK_BYTES_MAX, type ChainHead, digestOf } from './chain.ts'
import { decodeSegment, encodeSegment } from './segment.ts'
import { type AuditWorld, auditKeys, cycles, keys, logOf, settled, startAudited } from './testing.ts'

const registryKeys = registryKeysUnder('test')

async function filled(): Promise<AuditWorld> {
  const world = await startAudited()
  for (let part = 0; part < 6; part++) {
    await cycles(world.server, 30)
    await world.clock.pass(500)
  }
  const registry = await openRegistry({
    engine: world.engine,
    clock: world.clock,
    root: 'test',
    server: 's',
    alarm: () => undefined,
    fatal: () => undefined,
  })
  for (let deed = 0; deed < 6; deed++)
    await settled(
      world.clock,
      registry.change(
        {
          by: 'root',
          from: '',
          action: 'plan.change',
          instance: null,
          target: `plan/p-${deed}`,
          outcome: 'success',
          status: 200,
          reason: '',
          trace: '',
        },
        () => [],
      ),
    )
  await settled(world.clock, registry.close())
  return world
}

function put({ engine }: AuditWorld, key: string, value: Uint8Array): void {
  engine.store.commit({ checks: [], writes: [{ key, value }] })
}
function remove({ engine }: AuditWorld, key: string): void {
  engine.store.commit({ checks: [], writes: [{ key, delete: true }] })
}
function swap(world: AuditWorld, one: string, other: string): void {
  const [first, second] = [world.engine.store.get(one)!.value, world.engine.store.get(other)!.value]
  put(world, one, second)
  put(world, other, first)
}
const edited = (bytes: Uint8Array) => Buffer.from(batchText(bytes).replace('"busy"', '"lazy"'))
const segments = (world: AuditWorld) => decodeIndex(world.engine.store.get(auditKeys.index(0))!.value).segments
const check = (world: AuditWorld, known: ChainHead[] = []) => settled(world.clock, world.audit.check(undefined, known))

type Row = { name: string; spoil(world: AuditWorld): number | null; kinds: string[]; chain: string; needsHead?: true }

const rows: Row[] = [
  {
    name: 'a batch of the log is edited',
    chain: 'shard 0',
    kinds: ['edited'],
    spoil(world) {
      const { seq, bytes } = logOf(world).at(-9)!
      put(world, keys.batch(0, seq), edited(bytes))
      return seq + 1
    },
  },
  {
    name: 'a batch of the log is deleted',
    chain: 'shard 0',
    kinds: ['missing'],
    spoil(world) {
      const { seq } = logOf(world).at(-9)!
      remove(world, keys.batch(0, seq))
      return seq
    },
  },
  {
    name: 'two batches of the log are swapped',
    chain: 'shard 0',
    kinds: ['moved', 'moved'],
    spoil(world) {
      const [one, other] = [logOf(world).at(-9)!.seq, logOf(world).at(-5)!.seq]
      swap(world, keys.batch(0, one), keys.batch(0, other))
      return one
    },
  },
  {
    name: 'the newest batches are cut off',
    chain: 'shard 0',
    kinds: ['truncated'],
    needsHead: true,
    spoil(world) {
      const log = logOf(world)
      for (const { seq } of log.slice(-3)) remove(world, keys.batch(0, seq))
      return log.at(-4)!.seq
    },
  },
  {
    name: 'the newest batch is edited',
    chain: 'shard 0',
    kinds: ['edited'],
    needsHead: true,
    spoil(world) {
      const { seq, bytes } = logOf(world).at(-1)!
      put(world, keys.batch(0, seq), edited(bytes))
      return seq
    },
  },
  {
    name: 'a batch in the archive is edited',
    chain: 'shard 0',
    kinds: ['edited'],
    spoil(world) {
      const line = segments(world)[1]!
      const key = auditKeys.segment(0, line.first)
      const batches = decodeSegment(world.engine.store.get(key)!.value)!
      batches[4] = edited(batches[4]!)
      put(world, key, encodeSegment(batches))
      return line.first + 5
    },
  },
  {
    name: 'two batches in the archive are swapped',
    chain: 'shard 0',
    kinds: ['moved', 'moved'],
    spoil(world) {
      const line = segments(world)[1]!
      const key = auditKeys.segment(0, line.first)
      const batches = decodeSegment(world.engine.store.get(key)!.value)!
      ;[batches[2], batches[5]] = [batches[5]!, batches[2]!]
      put(world, key, encodeSegment(batches))
      return line.first + 2
    },
  },
  {
    name: 'a segment is deleted',
    chain: 'shard 0',
    kinds: ['missing'],
    spoil(world) {
      const line = segments(world)[1]!
      remove(world, auditKeys.segment(0, line.first))
      return line.first
    },
  },
  {
    name: 'a segment is put there that nobody has written',
    chain: 'shard 0',
    kinds: ['moved'],
    spoil(world) {
      const line = segments(world)[1]!
      put(world, auditKeys.segment(0, line.first + 1), world.engine.store.get(auditKeys.segment(0, line.first))!.value)
      return line.first + 1
    },
  },
  {
    name: 'a segment is put behind the last that was written',
    chain: 'shard 0',
    kinds: ['moved'],
    spoil(world) {
      const line = segments(world).at(-1)!
      put(world, auditKeys.segment(0, line.last + 7), world.engine.store.get(auditKeys.segment(0, line.first))!.value)
      return line.last + 7
    },
  },
  {
    name: 'a segment is cut',
    chain: 'shard 0',
    kinds: ['unreadable'],
    spoil(world) {
      const line = segments(world)[1]!
      const key = auditKeys.segment(0, line.first)
      put(world, key, world.engine.store.get(key)!.value.subarray(0, 700))
      return line.first
    },
  },
  {
    name: 'the oldest segment is deleted, and its line',
    chain: 'shard 0',
    kinds: ['anchor'],
    spoil(world) {
      const index = decodeIndex(world.engine.store.get(auditKeys.index(0))!.value)
      const [gone, next] = index.segments
      remove(world, auditKeys.segment(0, gone!.first))
      put(world, auditKeys.index(0), encodeIndex({ ...index, segments: index.segments.slice(1) }))
      return next!.first
    },
  },
  {
    name: 'a segment in the middle is deleted, and its line',
    chain: 'shard 0',
    kinds: ['missing'],
    spoil(world) {
      const index = decodeIndex(world.engine.store.get(auditKeys.index(0))!.value)
      const gone = index.segments[1]!
      remove(world, auditKeys.segment(0, gone.first))
      put(world, auditKeys.index(0), encodeIndex({ ...index, segments: index.segments.filter(line => line !== gone) }))
      return gone.first
    },
  },
  {
    name: 'the whole archive is deleted, with its index',
    chain: 'shard 0',
    kinds: ['missing'],
    spoil(world) {
      for (const { first } of segments(world)) remove(world, auditKeys.segment(0, first))
      remove(world, auditKeys.index(0))
      return 0
    },
  },
  {
    name: 'a link of the trail is edited',
    chain: 'trail',
    kinds: ['edited'],
    spoil(world) {
      const text = Buffer.from(world.engine.store.get(registryKeys.link(3))!.value).toString()
      put(world, registryKeys.link(3), Buffer.from(text.replace('"root"', '"toor"')))
      return 4
    },
  },
  {
    name: 'a link of the trail is deleted',
    chain: 'trail',
    kinds: ['missing'],
    spoil(world) {
      remove(world, registryKeys.link(3))
      return 3
    },
  },
  {
    name: 'two links of the trail are swapped',
    chain: 'trail',
    kinds: ['moved', 'moved'],
    spoil(world) {
      swap(world, registryKeys.link(2), registryKeys.link(4))
      return 2
    },
  },
  {
    name: 'the newest link is cut off',
    chain: 'trail',
    kinds: ['truncated'],
    spoil(world) {
      remove(world, registryKeys.link(6))
      return 5
    },
  },
  {
    name: 'the whole trail is deleted, with its head',
    chain: 'trail',
    kinds: ['truncated'],
    needsHead: true,
    spoil(world) {
      for (let seq = 1; seq <= 6; seq++) remove(world, registryKeys.link(seq))
      remove(world, registryKeys.head)
      return -1
    },
  },
]

for (const { name, spoil, kinds, chain, needsHead } of rows)
  test(`found, and where: ${name}${needsHead ? ' (with a head that was kept)' : ''}`, async () => {
    const world = await filled()
    assert.ok(segments(world).length > 2)
    const known = await settled(world.clock, world.audit.heads())
    const before = await check(world, known)
    assert.deepEqual(before.problems, [])
    assert.deepEqual(before.heads, known)
    const place = spoil(world)
    if (needsHead) assert.deepEqual((await check(world)).problems, [], 'by itself the chain does not show it')
    const { problems } = await check(world, needsHead ? known : [])
    const first = problems[0]
    assert.ok(first, 'nothing was found')
    assert.deepEqual({ chain: first.chain, seq: first.seq }, { chain, seq: place })
    assert.deepEqual(
      problems
        .filter(({ kind }) => kinds.includes(kind))
        .map(({ kind }) => kind)
        .slice(0, kinds.length),
      kinds,
    )
  })

for (const part of ['/archive/', '/log/'])
  test(`a healthy log is healthy while segments are written and dropped between two reads of ${part}`, async () => {
    const retention = { ageMs: 86_400_000, bytesMax: 30_000 }
    const world = await startAudited({ retention })
    for (let round = 0; round < 8; round++) {
      await cycles(world.server, 30)
      await world.clock.pass(500)
    }
    const { engine, clock } = world
    let isWorking = false
    let worked = 0
    const work = async (key: string) => {
      if (isWorking || !key.includes(part) || worked === 6) return
      worked++
      isWorking = true
      await cycles(world.server, 25)
      await clock.pass(200)
      isWorking = false
    }
    const busy = {
      async read(key: string) {
        const pair = await engine.read(key)
        await work(key)
        return pair
      },
      async list(options: Parameters<typeof engine.list>[0]) {
        await work(options.prefix)
        const page = await engine.list(options)
        await work(options.prefix)
        return page
      },
    }
    const before = segments(world)
    const audit = new StoredAudit({ engine: busy, clock, root: 'test', retention }, world.server.shards.meta)
    assert.deepEqual((await audit.check()).problems, [])
    assert.equal(worked, 6)
    assert.ok(before.every(({ first }) => segments(world)[0]!.first > first))
    assert.deepEqual((await check(world)).problems, [])
  })

test('a head of a chain that is not here is not passed over', async () => {
  const world = await filled()
  const [head] = await settled(world.clock, world.audit.heads())
  const { problems } = await check(world, [{ ...head!, chain: 'shard 63' }])
  assert.deepEqual(
    problems.map(({ chain, seq, kind }) => ({ chain, seq, kind })),
    [{ chain: 'shard 63', seq: -1, kind: 'truncated' }],
  )
})

test('a log that was rewritten with all hashes right is found by a head that was kept', async () => {
  const world = await filled()
  const known = await settled(world.clock, world.audit.heads())
  const log = logOf(world)
  const { hashBatch } = await import('../shards/batch.ts')
  let prev = ''
  for (const [index, { seq, bytes }] of log.slice(-8).entries()) {
    let text = batchText(bytes)
    if (index === 0) text = text.replace('"busy"', '"lazy"')
    else text = text.replace(/"prev":"[0-9a-f]*"/, `"prev":"${prev}"`)
    const forged = Buffer.from(text)
    prev = hashBatch(forged)
    put(world, keys.batch(0, seq), forged)
  }
  assert.deepEqual((await check(world)).problems, [])
  const { problems } = await check(world, known)
  assert.deepEqual(
    problems.map(({ kind, seq }) => ({ kind, seq })),
    [{ kind: 'edited', seq: log.at(-1)!.seq }],
  )
})

test('where nothing is archived, what has left the log is not missing', async () => {
  const world = await startAudited({ retention: null })
  await cycles(world.server, 60)
  await world.clock.pass(1_000)
  assert.ok(logOf(world)[0]!.seq > 0)
  assert.deepEqual((await check(world)).problems, [])
})

test('heads have one digest, whatever their order; a part of a check reads CHECK_BYTES_MAX at the most', async () => {
  const heads: ChainHead[] = [
    { chain: 'trail', seq: 1, hash: 'a' },
    { chain: 'shard 0', seq: 9, hash: 'b' },
  ]
  assert.equal(digestOf(heads), digestOf([...heads].reverse()))
  assert.notEqual(digestOf(heads), digestOf(heads.slice(1)))
  assert.ok(CHECK_BYTES_MAX > 0)
})
