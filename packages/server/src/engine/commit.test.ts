import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../shards/testing.ts'
import { commitKnown, sameBytes } from './commit.ts'
import { type CommitResult, EngineRefusal } from './engine.ts'
import { openMemory } from './memory/memory.ts'

const bytes = Buffer.from('ours')

/** What the store says to each attempt, in order; then the store itself answers. */
async function outcomeOf(answers: (() => CommitResult)[], options: { isWritten?: boolean; there?: Buffer } = {}) {
  const clock = new FakeClock()
  const engine = openMemory()
  const put = (value: Buffer) => engine.store.commit({ checks: [], writes: [{ key: 'place', value }] })
  if (options.there) put(options.there)
  let attempts = 0
  const commit: typeof engine.commit = async request => {
    const answer = answers[attempts++]
    // The first attempt has reached the store, whatever is said of it.
    if (attempts === 1 && options.isWritten) put(bytes)
    return answer ? answer() : engine.store.commit(request)
  }
  const known = commitKnown({
    engine: { ...engine, commit },
    clock,
    checks: [{ key: 'place', modRevision: 0 }],
    writes: [{ key: 'place', value: bytes }],
    passedAt: sameBytes(0, bytes),
    onUnknown: () => undefined,
  })
  const settled = known.then(
    result => ({ result, error: null }),
    (error: unknown) => ({ result: null, error }),
  )
  await clock.pass(10_000)
  return { ...(await settled), attempts }
}

const lost = () => {
  throw new Error('no reply')
}
const refuse = () => {
  throw new EngineRefusal('storage_full', 'the disk is full')
}

test('a refusal of the first attempt is definite', async () => {
  const { error, attempts } = await outcomeOf([refuse])
  assert.ok(error instanceof EngineRefusal)
  assert.equal(attempts, 1)
})

test('a refusal says nothing about an earlier attempt whose outcome was unknown', async () => {
  const { result, attempts } = await outcomeOf([lost, refuse, refuse], { isWritten: true })
  assert.equal(result?.ok, true, 'the first attempt had been written')
  assert.equal(attempts, 4)
})

test('a place that somebody else has taken is no success', async () => {
  const { result } = await outcomeOf([lost], { there: Buffer.from('theirs') })
  assert.equal(result?.ok, false)
})
