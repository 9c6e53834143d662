import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { QueueView } from '@holdfast/client'
import { WaitLine } from './wait-notice.ts'

const turn = () => new Promise(resolve => setImmediate(resolve))

/** A wait for `web`, where `ours` is second of three. */
function waiting({ isTTY, columns = 200 }: { isTTY: boolean; columns?: number }) {
  const holder = {
    holder: 'ci:7',
    sessionId: 'other',
    token: 1,
    mode: 'exclusive',
    priority: 0,
    expiresAt: '',
  } as const
  const waiter = { holder: 'x', mode: 'exclusive', priority: 0, queuedAt: '', waitedMs: 0, locks: [] } as const
  const queue: QueueView = {
    lock: { name: 'web', state: 'held', waiters: 3, holders: [{ ...holder, acquiredAt: new Date().toISOString() }] },
    waiters: ['first', 'ours', 'last'].map((sessionId, index) => ({
      ...waiter,
      locks: ['web'],
      sessionId,
      position: index + 1,
    })),
  }
  const state: { queue: QueueView; failure: Error | null } = { queue, failure: null }
  const written: string[] = []
  const line = new WaitLine({
    name: 'web',
    look: async () => {
      if (state.failure) throw state.failure
      return { queue: state.queue, session: 'ours' }
    },
    stream: { write: text => written.push(text), isTTY, columns },
  })
  return { line, written, state, queue }
}

test('where nobody looks, one line says that it waits, for whom and at which place', async () => {
  const { line, written } = waiting({ isTTY: false })
  line.queued({ position: 2 })
  line.queued({ position: 1 })
  await turn()
  line.end()
  assert.equal(written.length, 1)
  assert.match(written[0]!, /^holdfast: waiting for web, place 2 of 3 in line: held by ci:7 for \d+ms\n$/)
})

test('on a terminal the line stays one line, and is gone when the wait is over', async () => {
  const { line, written } = waiting({ isTTY: true, columns: 30 })
  line.queued({ position: 2 })
  await turn()
  line.end()
  assert.deepEqual(written, ['\r\u001b[2Kholdfast: waiting for web, pl', '\r\u001b[2K'])
})

test('who need not wait sees nothing, and nothing is written after the wait', async () => {
  const silent = waiting({ isTTY: true })
  silent.line.end()
  assert.deepEqual(silent.written, [])
  const late = waiting({ isTTY: false })
  late.line.queued({ position: 1 })
  late.line.end()
  await turn()
  assert.deepEqual(late.written, [])
})

test('what keeps the lock is said, and what cannot be known is left out', async () => {
  const said = async (change: (queue: QueueView) => void, failure: Error | null = null) => {
    const { line, written, queue, state } = waiting({ isTTY: false })
    change(queue)
    state.failure = failure
    line.queued({ position: 7 })
    await turn()
    line.end()
    return written.join('')
  }
  const [holder] = waiting({ isTTY: false }).queue.lock.holders
  assert.match(await said(({ lock }) => lock.holders.push(holder!, holder!)), /held by ci:7 and 2 more for/)
  const delayed = await said(({ lock }) => Object.assign(lock, { holders: [], delayedMs: 3_000 }))
  assert.match(delayed, /place 2 of 3 in line: kept free for 3s after an unclean end\n/)
  const escaping = await said(({ lock }) => Object.assign(lock.holders[0]!, { holder: 'a\u001b[2Jb' }))
  assert.ok(!escaping.includes('\u001b'), 'a name moves no cursor')
  assert.equal(await said(() => {}, new Error('forbidden')), 'holdfast: waiting for web, place 7 in line\n')
})
