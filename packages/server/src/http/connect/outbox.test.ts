import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ServerMessage } from '@holdfast/protocol/frame'
import { OUTBOX_BYTES_MAX } from '@holdfast/protocol/limits'
import type { WebSocket } from 'ws'
import { FakeClock } from '../../shards/testing.ts'
import { Outbox } from './outbox.ts'

test('one answer may be longer than OUTBOX_BYTES_MAX; whoever has not read it when there is more to say is cut off', () => {
  const socket = {
    OPEN: 1,
    readyState: 1,
    bufferedAmount: 0,
    send(frame: string) {
      this.bufferedAmount += frame.length
    },
  }
  let overflows = 0
  const outbox = new Outbox(socket as unknown as WebSocket, new FakeClock(), () => overflows++)
  const say = (text: string) => {
    const goesOn = outbox.send({ type: 'reset', id: 1, cursor: text } as unknown as ServerMessage)
    outbox.flush()
    return goesOn
  }
  say('x'.repeat(OUTBOX_BYTES_MAX + 1))
  assert.equal(overflows, 0)
  // It has read it.
  socket.bufferedAmount = OUTBOX_BYTES_MAX
  say('a little more')
  assert.equal(overflows, 0)
  assert.ok(socket.bufferedAmount > OUTBOX_BYTES_MAX)
  say('a little more')
  assert.equal(overflows, 1)
  assert.equal(say('and more'), false)
  assert.equal(overflows, 1)
})
