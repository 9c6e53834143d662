import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VALUE_BYTES_MAX } from '@holdfast/protocol/limits'
import { LockLostError } from './errors.ts'
import type { OnceOptions, Slot } from './once.ts'
import { turn } from './testing/clock.ts'
import { Script } from './testing/scripted.ts'

/** Granted, with no slot finished yet. */
async function running(routine: () => unknown, options: OnceOptions = {}) {
  const script = new Script()
  const run = script.holdfast.once('job', 5, options, routine)
  await script.welcome()
  await script.grant(7)
  const { id } = script.connection.last('value')
  await script.connection.say({ type: 'reply', id, error: { code: 'not_found', message: 'None.', what: 'value' } })
  return { script, run }
}

test('a loss is not acknowledged before the run has stopped: nobody else runs the job beside it', async () => {
  const work = Promise.withResolvers<void>()
  const { script, run } = await running(() => work.promise)
  await script.connection.say({ type: 'lost', name: 'job', token: 7, reason: 'forced', changes: 1 })
  assert.equal(script.connection.count('renew'), 0)
  await script.clock.advance(5_100)
  assert.equal(script.connection.last('renew').seen_changes, 0)
  await script.renewed({ changes: 1, grants: [] })
  work.resolve()
  await assert.rejects(run, error => error instanceof LockLostError && error.reason === 'forced')
  await turn()
  assert.equal(script.connection.last('renew').seen_changes, 1)
  assert.equal(script.connection.count('write_value'), 0, 'nothing is finished without the lock')
})

test('whoever waits for a run that goes on is told that it does', async () => {
  const script = new Script()
  const run = script.holdfast.once('job', 5, { waitMs: 100 }, () => assert.fail('somebody else runs'))
  await script.welcome()
  const { id } = script.connection.last('acquire')
  const error = { code: 'lock_held', message: 'Held.', reason: 'timeout', holder: 'other' } as const
  await script.connection.say({ type: 'reply', id, error })
  assert.deepEqual(await run, { ran: false, because: 'running' })
})

test('a slot that nothing can be compared with is refused before anything is run', async () => {
  const { holdfast } = new Script()
  const slots: unknown[] = [Number.NaN, Number.POSITIVE_INFINITY, '', new Date(0), null, undefined, 5n, {}]
  for (const slot of slots) {
    // As JavaScript calls it.
    const run = holdfast.once('job', slot as Slot, () => assert.fail('it was run'))
    await assert.rejects(run, { code: 'invalid_request', message: /^The slot of once\(\) must be/ }, String(slot))
  }
})

test('a slot that does not fit into VALUE_BYTES_MAX with what stands around it is refused before anything is run', async () => {
  const around = JSON.stringify({ finished: '' }).length
  // Two bytes each in UTF-8, but for the last one.
  const slotOf = (bytes: number) => 'é'.repeat(Math.floor(bytes / 2)) + 'x'.repeat(bytes % 2)
  const script = new Script()
  const beyond = script.holdfast.once('job', slotOf(VALUE_BYTES_MAX - around + 1), () => assert.fail('it was run'))
  // At once: nobody has even been asked for the lock.
  const said = await Promise.race([beyond.catch((error: unknown) => String(error)), turn()])
  assert.match(String(said), /must fit into the lock's value/)
  const fits = slotOf(VALUE_BYTES_MAX - around)
  void script.holdfast.once('job', fits, () => 'done')
  await script.welcome()
  await script.grant(7)
  const { id } = script.connection.last('value')
  await script.connection.say({ type: 'reply', id, error: { code: 'not_found', message: 'None.', what: 'value' } })
  assert.equal(script.connection.last('write_value').value, JSON.stringify({ finished: fits }))
})
