import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemClock } from '../clock.ts'
import { openLmdb } from '../engine/lmdb/lmdb.ts'
import type { Command } from '../locks/model.ts'
import { systemRandom } from '../random.ts'
import type { Answer, Shards } from './port.ts'
import { openShards } from './shards.ts'

const claim = (lock: string) => ({
  lock,
  mode: 'exclusive' as const,
  permits: 1,
  limit: 0,
  maxHoldMs: null,
  lockDelayMs: null,
})

function acquire(session: string, lock: string, request: number, waitMs: number | null): Command {
  return {
    type: 'acquire',
    by: 'tester',
    session,
    claims: [claim(lock)],
    waitMs,
    priority: 0,
    preempt: 'never',
    isReentrant: false,
    task: '',
    request,
    labels: null,
    metadata: null,
    value: null,
  }
}

function ask(shards: Shards, command: Command): Promise<Answer> {
  return new Promise((answer, fail) => shards.submit('main', command, { answer, fail }))
}

async function openDisk(path: string) {
  const engine = await openLmdb({ path })
  const fatal = (error: Error) => {
    throw error
  }
  const config = { root: 'holdfast', name: 'test', address: 'nowhere', shards: 1, fatal }
  const shards = await openShards({ engine, clock: systemClock, random: systemRandom, config })
  return {
    shards,
    close: async () => {
      await shards.close()
      await engine.close()
    },
  }
}

test('what was granted on disk is held after a restart, with a larger token for the next', async () => {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-shards.'))
  const first = await openDisk(path)
  const opened = await ask(first.shards, { type: 'open_session', by: 'tester', ttlMs: 10_000, labels: null })
  assert.ok(opened.ok && opened.type === 'session')
  const session = opened.session.id
  const granted = await ask(first.shards, acquire(session, 'web', 1, 0))
  assert.ok(granted.ok && granted.type === 'granted')
  const token = granted.grants[0]!.token
  await first.close()

  const second = await openDisk(path)
  const shown = await ask(second.shards, { type: 'show', by: 'tester', lock: 'web' })
  assert.ok(shown.ok && shown.type === 'lock')
  assert.equal(shown.lock.grants[0]?.token, token)
  const again = await ask(second.shards, acquire(session, 'web', 1, 0))
  assert.ok(again.ok && again.type === 'granted')
  assert.equal(again.grants[0]?.token, token, 'the repeat of a request is answered with what is true')
  const released = await ask(second.shards, {
    type: 'release',
    by: 'tester',
    session,
    grants: [{ lock: 'web', token }],
    request: 2,
  })
  assert.ok(released.ok)
  const next = await ask(second.shards, acquire(session, 'web', 3, 0))
  assert.ok(next.ok && next.type === 'granted')
  assert.ok(next.grants[0]!.token > token + 2 ** 31, 'a new epoch')
  await second.close()
  await rm(path, { recursive: true })
})
