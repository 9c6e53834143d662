import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'
import type { WebSocket } from 'ws'
import { Intake, SLICE_MS } from './intake.ts'
import { withDoors } from './testing.ts'

class Socket extends EventEmitter {
  readonly pause: () => void
  readonly resume: () => void
  constructor(name: string, log: string[]) {
    super()
    this.pause = () => log.push(`${name} paused`)
    this.resume = () => log.push(`${name} resumed`)
  }
  says(data: unknown): void {
    this.emit('message', data, false)
  }
}

/** A frame takes its handler so many ms; what is to run after the poll runs when the test says so. */
function world(frameMs: number) {
  let nowMs = 0
  let due: (() => void)[] = []
  const intake = new Intake({ hrtimeMs: () => nowMs, afterPoll: call => void due.push(call) })
  const log: string[] = []
  const client = (name: string): Socket => {
    const socket = new Socket(name, log)
    const received = (data: unknown) => {
      nowMs += frameMs
      log.push(`${name} ${data}`)
    }
    intake.listen({ received, gone: () => log.push(`${name} gone`) }, socket as unknown as WebSocket) // what it uses of one
    return socket
  }
  const request = (name: string) =>
    intake.take(() => {
      nowMs += frameMs
      log.push(name)
    })
  const looks = () => {
    const calls = due
    due = []
    for (const call of calls) call()
    return log.splice(0)
  }
  return { client, request, log, looks }
}

test('what fits into SLICE_MS is handled as it comes; the rest waits, in its order, and nothing more of its senders is read', () => {
  const { client, log, looks } = world(SLICE_MS / 2)
  const [a, b, c] = [client('a'), client('b'), client('c')]
  a.says(1)
  b.says(1)
  c.says(1)
  c.says(2)
  a.says(2)
  assert.deepEqual(log.splice(0), ['a 1', 'b 1', 'c paused', 'a paused'])
  assert.deepEqual(looks(), ['c 1', 'c 2', 'c resumed'])
  // There is time, and somebody who came before.
  b.says(2)
  assert.deepEqual(log.splice(0), ['b paused'])
  assert.deepEqual(looks(), ['a 2', 'a resumed', 'b 2', 'b resumed'])
  assert.deepEqual(looks(), [])
  c.says(3)
  assert.deepEqual(log.splice(0), ['c 3'])
})

test('one frame that takes longer than SLICE_MS is handled, and alone', () => {
  const { client, log, looks } = world(3 * SLICE_MS)
  const [a, b, c] = [client('a'), client('b'), client('c')]
  for (const from of [a, b, c]) from.says(1)
  assert.deepEqual(log.splice(0), ['a 1', 'b paused', 'c paused'])
  assert.deepEqual(looks(), ['b 1', 'b resumed'])
  assert.deepEqual(looks(), ['c 1', 'c resumed'])
})

test('who goes with something waiting goes when that has been handled', () => {
  const { client, log, looks } = world(SLICE_MS)
  const [a, b] = [client('a'), client('b')]
  a.says(1)
  b.says('release')
  b.emit('close')
  a.emit('close')
  assert.deepEqual(log.splice(0), ['a 1', 'b paused', 'a paused'])
  assert.deepEqual(looks(), ['b release'])
  assert.deepEqual(looks(), ['b gone', 'b resumed', 'a gone', 'a resumed'])
})

test('a request over REST waits in the same line', () => {
  const { client, request, log, looks } = world(SLICE_MS / 2)
  const a = client('a')
  a.says(1)
  request('b')
  request('c')
  a.says(2)
  request('d')
  assert.deepEqual(log.splice(0), ['a 1', 'b', 'a paused'])
  assert.deepEqual(looks(), ['c', 'a 2', 'a resumed'])
  assert.deepEqual(looks(), ['d'])
})

test('every request over REST comes that way, and a caller who goes while it waits leaves nothing behind', async () => {
  await withDoors(async ({ doors, listen, ask }) => {
    const address = await listen()
    const turns: (() => void)[] = []
    let came = () => {}
    doors.intake.take = handle => {
      turns.push(handle)
      came()
    }
    const acquire = async (lock: string, signal: AbortSignal) => {
      const waits = new Promise<void>(resolve => {
        came = resolve
      })
      const headers = { authorization: 'Bearer root', 'content-type': 'application/json' }
      const body = JSON.stringify({ ttl_seconds: 60, wait_seconds: 30 })
      const answered = fetch(`${address}/v1/locks/${lock}/acquire`, { method: 'POST', headers, body, signal })
      await Promise.race([waits, answered.then(() => assert.fail(`${lock} did not wait for its turn`))])
      return { answered }
    }
    const caller = new AbortController()
    const gone = await acquire('gone', caller.signal)
    const stayed = await acquire('stayed', new AbortController().signal)
    caller.abort()
    await assert.rejects(gone.answered)
    await new Promise(resolve => setTimeout(resolve, 50))
    for (const handle of turns.splice(0)) handle()
    assert.equal((await stayed.answered).status, 200)
    assert.equal((await ask('GET', '/v1/locks/gone')).status, 404)
  })
})
