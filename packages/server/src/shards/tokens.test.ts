/** What a token is for: a resource that keeps the largest one it has seen is safe, whatever clocks and processes do (SAFETY S3). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { restart, startServer } from './testing.ts'

/** Something that a lock protects, and that checks. */
class Resource {
  #largest = 0
  readonly accepted: number[] = []
  refused = 0

  write(token: number): void {
    if (token < this.#largest) {
      this.refused++
      return
    }
    this.#largest = token
    this.accepted.push(token)
  }
}

test('a resource that keeps the largest token refuses whoever held before, over transfers, restarts and ends of sessions', async () => {
  const resource = new Resource()
  let world = await startServer()
  const before: number[] = []
  /** It writes as holder; then all who held before write late. */
  const hold = (token: number) => {
    resource.write(token)
    assert.equal(resource.accepted.at(-1), token, 'the holder is refused')
    for (const stale of before) resource.write(stale)
    before.push(token)
  }
  for (let round = 0; round < 4; round++) {
    const { server, clock } = world
    const [first, second] = [await server.session(1_000), await server.session(60_000)]
    hold(await server.grant(first, 'a'))
    const token = before.at(-1)!
    const transfer = { type: 'transfer', by: 'test', session: first, lock: 'a', token, toSession: second } as const
    const handed = await server.ask({ ...transfer, request: 90_000 + round })
    assert.ok(handed.ok && handed.type === 'transferred')
    hold(handed.token)
    await server.ask({ type: 'close_session', by: 'test', session: second })
    const third = await server.session(1_000)
    hold(await server.grant(third, 'a'))
    // Its end: while the server is down, before that, or without any restart.
    if (round % 3 === 1) await server.ask({ type: 'close_session', by: 'test', session: third })
    if (round % 3 < 2) world = await restart(world)
    await clock.pass(1_500)
  }
  assert.deepEqual(
    resource.accepted,
    [...resource.accepted].sort((one, other) => one - other),
  )
  assert.equal(resource.accepted.length, 12)
  assert.ok(resource.refused > 60, `only ${resource.refused} late writes were refused`)
})
