import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FRAME_BYTES_MAX } from '@holdfast/protocol/limits'
import { turn } from './testing/clock.ts'
import { Script } from './testing/scripted.ts'

async function connected(): Promise<Script> {
  const script = new Script()
  const acquiring = script.holdfast.acquire('innocent')
  await script.welcome()
  await script.grant(7)
  await acquiring
  return script
}

const names = (script: Script) =>
  script.connection.received.flatMap(message => (message.type === 'acquire' ? [message.name] : []))

test('what does not fit into a message is refused at once and never sent, and what is asked beside it is not held up', async () => {
  const script = await connected()
  const text = 'x'.repeat(FRAME_BYTES_MAX)
  const tooLong = { code: 'invalid_request', message: /a message has at most 1048576 bytes/ }
  const refused = [
    assert.rejects(script.holdfast.acquire(text), tooLong),
    assert.rejects(script.holdfast.acquire('big', { waitMs: 0, metadata: { text } }), tooLong),
    // Fewer characters than bytes.
    assert.rejects(script.holdfast.acquire('ä'.repeat(FRAME_BYTES_MAX / 2)), tooLong),
  ]
  script.holdfast.acquire('beside').catch(() => {})
  await turn()
  assert.deepEqual(names(script), ['innocent', 'beside'])
  await Promise.all(refused)
  await script.connection.cut()
  await script.clock.advance(300)
  await script.welcome()
  assert.deepEqual(names(script), ['beside'], 'nor is it sent over the next connection')
})

test('what JSON cannot carry is refused to who asked for it, and nobody else suffers', async () => {
  const script = await connected()
  const own: Record<string, unknown> = {}
  own.self = own
  const refused = [
    assert.rejects(script.holdfast.acquire('a', { metadata: { build: 1n } }), {
      code: 'invalid_request',
      message: /BigInt/,
    }),
    assert.rejects(script.holdfast.acquire('b', { metadata: own }), { code: 'invalid_request', message: /circular/ }),
  ]
  for (let count = 0; count < 100; count++) script.holdfast.acquire(`good/${count}`).catch(() => {})
  await Promise.all(refused)
  await turn()
  const good = Array.from({ length: 100 }, (_, count) => `good/${count}`)
  assert.deepEqual(names(script).sort(), ['innocent', ...good].sort())
})

test('what was settled is said by the next message when the one that was to say it could not be sent', async () => {
  const script = await connected()
  await assert.rejects(script.holdfast.acquire('a', { metadata: { build: 1n } }), { code: 'invalid_request' })
  script.holdfast.acquire('b').catch(() => {})
  await turn()
  const { id, settled } = script.connection.last('acquire')
  assert.equal(settled, id)
})
