/** The library over real servers: it is where its locks are decided, and follows when that is elsewhere. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type SessionEvent } from '@holdfast/client'
import { rootKey } from '../harness/server.ts'
import { startServers } from '../harness/servers.ts'

/** Shards go back where they were; then ten seconds since the last time, and up to twenty by chance. A machine may be busy. */
const FOLLOWS_MS = 90_000

test('when all servers have been restarted, one after another, the library is at the one that decides, and holds what it held', async () => {
  const servers = await startServers()
  const events: SessionEvent[] = []
  const holdfast = connect({ url: servers.urls, apiKey: rootKey, onEvent: event => events.push(event) })
  const held = await holdfast.acquire('held')
  const isThere = async () => {
    const owner = servers.all[await servers.busiest()]!
    const text = await (await fetch(`${owner.url}/metrics`)).text()
    return /^holdfast_connections 1$/m.test(text)
  }
  const follows = async (what: string) => {
    for (let waitedMs = 0; !(await isThere()); waitedMs += 100) {
      assert.ok(waitedMs < FOLLOWS_MS, `${what} it stayed elsewhere: ${JSON.stringify(events)}`)
      await sleep(100)
    }
  }
  await follows('at first')
  for (const place of servers.all.keys()) {
    assert.equal(await servers.all[place]!.stop(), 0)
    await servers.start(place)
    await servers.spread(3)
  }
  await follows('after the restarts')
  assert.ok(held.isHeld)
  assert.deepEqual(
    events.filter(({ type }) => type === 'lock_lost' || type === 'session_ended'),
    [],
  )
  assert.ok(await holdfast.acquire('another', { waitMs: 10_000 }))
  await holdfast.close()
  await servers.stop()
})
