import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Feed } from '../shards/feed.ts'
import type { Host } from '../shards/host.ts'
import { FakeClock } from '../shards/testing.ts'
import { localPeer } from './local.ts'

test('who resumes a watch beyond what this server has seen is sent on by one that may have been replaced, and reset by an owner', async () => {
  const clock = new FakeClock()
  const feed = new Feed('809f2d6e')
  feed.publish({ seq: 115, at: 0 }, [])
  const host = { serving: () => ({ feed }), isSureOfItself: false }
  // Only what a watch asks of them.
  const peer = localPeer({ host: host as unknown as Host, shards: 1, clock })
  const told = async (after: string) => {
    const said: string[] = []
    const sink = {
      began: () => void said.push('began'),
      event: () => true,
      reset: (cursor: string) => void said.push(`reset ${cursor}`),
      refused: () => void said.push('refused'),
      ended: () => void said.push('ended'),
    }
    peer.watch('one', { after }, sink)
    await clock.settle()
    return said
  }
  assert.deepEqual(await told('809f2d6e-120-1'), ['ended'])
  assert.deepEqual(await told('809f2d6e-115-0'), ['began'])
  host.isSureOfItself = true
  assert.deepEqual(await told('809f2d6e-120-1'), ['reset 809f2d6e-115-0', 'began'])
})
