import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { FakeClock } from '../shards/testing.ts'
import { RememberedStore, type StoreFacts, StoreWentBack } from './remembered-store.ts'

const revisionIn = (path: string) => (JSON.parse(readFileSync(path, 'utf8')) as StoreFacts).revision

/** Time goes by, and what the disk does takes its own. */
async function until(clock: FakeClock, isSo: () => boolean): Promise<void> {
  for (let waited = 0; waited < 10_000 && !isSo(); waited += 5) {
    await clock.pass(1_000)
    await sleep(5)
  }
  assert.ok(isSo(), 'it did not come')
}

const facts: StoreFacts = { cluster: 'c1', store: 'abc', revision: 100, epochs: [4, 1] }

test('a store that has gone back, or is another with the same cluster in it, is refused at the next start', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-remembered-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'deep', 'store.json')
  const clock = new FakeClock()
  const at = (now: StoreFacts) => new RememberedStore({ path, clock, now: () => now, alarm: assert.fail })
  assert.equal(at(facts).check(), 'none')
  let revision = 100
  const first = new RememberedStore({ path, clock, now: () => ({ ...facts, revision }), alarm: assert.fail })
  await first.start()
  revision = 200
  await until(clock, () => revisionIn(path) === 200)
  assert.equal(statSync(path).mode & 0o777, 0o600)
  revision = 300
  await first.stop()
  assert.equal(at({ ...facts, revision: 300 }).check(), 'this')
  assert.throws(() => at({ ...facts, revision: 299 }).check(), StoreWentBack)
  assert.throws(() => at({ ...facts, store: 'def', revision: 400 }).check(), StoreWentBack)
  // etcd's own restore of an older backup, with revisions that go on (`--bump-revision`): the next owner would give the same tokens again.
  assert.throws(() => at({ ...facts, revision: 400, epochs: [3, 1] }).check(), /Shard 0 is in epoch 3 and was in 4/)
  assert.equal(at({ ...facts, revision: 400, epochs: [4, 2] }).check(), 'this')
  // Members that have lost their data began anew: their ids are made of the same plan.
  assert.throws(
    () => at({ ...facts, cluster: 'c2', revision: 3 }).check(),
    /revision 3 \(it was at 300\), and another Holdfast/,
  )
  assert.throws(() => at({ ...facts, cluster: 'c2', revision: 400 }).check(), StoreWentBack)
  // A restore of ours.
  assert.equal(at({ ...facts, cluster: 'c2', store: 'def', revision: 1 }).check(), 'another')
  // Also what a power cut has left.
  for (const text of ['{}', '', '{"cluster":', 'null', '7']) {
    writeFileSync(path, text)
    assert.throws(() => at(facts).check(), /store\.json is damaged; delete it if/, text)
  }
})

test('an epoch that has come is on the disk soon, and a file of before there were epochs in it is read', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-remembered-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'store.json')
  const { epochs, ...before } = facts
  writeFileSync(path, JSON.stringify(before))
  let now = facts
  const remembered = new RememberedStore({ path, clock: new FakeClock(), now: () => now, alarm: assert.fail })
  assert.equal(remembered.check(), 'this')
  await remembered.start()
  assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')).epochs, epochs)
  now = { ...facts, epochs: [5, 1] }
  remembered.note()
  // No time goes by in this test.
  await remembered.stop()
  assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')).epochs, [5, 1])
})

test('a data directory that cannot be written ends nothing: that is said once, and it is tried again', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-remembered-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'store.json')
  const clock = new FakeClock()
  const told: string[] = []
  let revision = 100
  const now = () => ({ ...facts, revision: revision++ })
  const remembered = new RememberedStore({ path, clock, now, alarm: what => told.push(what) })
  await remembered.start()
  // In the way of what is written, for every user.
  mkdirSync(`${path}.new`)
  for (let round = 0; round < 3; round++) {
    const before = revision
    await until(clock, () => revision > before)
  }
  await remembered.stop()
  assert.equal(told.length, 1)
  assert.ok(told[0]?.includes(path))
  assert.equal(revisionIn(path), 100)
  rmSync(`${path}.new`, { recursive: true })
  await remembered.start()
  const again = revisionIn(path)
  assert.ok(again > 100)
  await until(clock, () => revisionIn(path) > again)
  mkdirSync(`${path}.new`)
  await until(clock, () => told.length === 2)
  await remembered.stop()
})
