/** Each limit of this room, where it is and one past it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HoldfastError } from '@holdfast/protocol/errors'
import type { Command } from '../locks/model.ts'
import { FakeClock } from '../shards/testing.ts'
import type { Peer, Peers } from './peer.ts'
import { PARKED_MAX, ROUTE_MS_MAX, Router } from './router.ts'

const command: Command = { type: 'show', by: 'test', lock: 'a' }

/** Nobody owns anything, so that all that is asked waits for an owner. */
function ownerless() {
  const clock = new FakeClock()
  // Never asked, as there is no owner.
  const nobody = {} as Peer
  const peers: Peers = {
    to: () => nobody,
    keep: () => {},
    reach: () => {},
    unreachable: () => [],
    tell: () => {},
    close: () => {},
  }
  const router = new Router({
    clock,
    server: 'server',
    shards: 1,
    local: nobody,
    peers,
    isServing: () => false,
    stale: () => {},
  })
  const failures: string[] = []
  const asking = { answer: () => {}, fail: (error: HoldfastError) => void failures.push(error.code) }
  return { clock, router, failures, submit: () => router.submit('main', command, asking) }
}

test('a command looks for an owner for ROUTE_MS_MAX, and then its caller is told to come back', async () => {
  const { clock, failures, submit } = ownerless()
  submit()
  await clock.pass(ROUTE_MS_MAX - 1)
  assert.deepEqual(failures, [])
  await clock.pass(1)
  assert.deepEqual(failures, ['unavailable'])
})

test('PARKED_MAX commands may be between two owners, and who comes after them is told to come back', () => {
  const { router, failures, submit } = ownerless()
  for (let index = 0; index < PARKED_MAX; index++) submit()
  assert.deepEqual([failures.length, router.underway], [0, PARKED_MAX])
  submit()
  assert.deepEqual([failures, router.underway], [['unavailable'], PARKED_MAX])
})
