/** One of everything that can be asked of the core, in an order in which each matters: what `recorded.test.ts` keeps. */

import { claimOf } from './core-world.ts'
import { circles, corners, names, remains, strangers, traced } from './corners.ts'
import { Stage, wait } from './stage.ts'
import type { Tape } from './tape.ts'

export function play(tape: Tape): void {
  const stage = new Stage(tape)
  for (const act of [holds, sets, semaphores, preemption, ends, operators, singles, requests, limits, reads]) {
    act(stage)
    tape.measure()
  }
  for (const act of [corners, circles, traced, names, strangers, remains]) {
    act(stage)
    tape.measure()
  }
  tape.late()
}

function holds(stage: Stage): void {
  const [a, b, c] = [stage.open(10_000, { holder: 'Ann', team: 'é' }), stage.open(5_000), stage.open(7_000)]
  const token = stage.take(a, ['h'], { request: 1, labels: { k: 'v' }, metadata: { n: 1 }, value: 'first' })
  stage.take(a, ['h'], { isReentrant: true, request: 2 })
  stage.take(a, ['h'], { isReentrant: false, request: 3 })
  stage.take(b, ['h'], { request: 1 })
  stage.take(b, ['h'], { ...wait, request: 2, priority: 1, labels: { why: 'b' }, value: 'second' })
  stage.take(c, ['h'], { waitMs: 2_000, request: 1, metadata: { c: true } })
  stage.take(c, ['h', 'h2'], { ...wait, request: 2, task: 'other' })
  stage.do('queue', { lock: 'h' })
  stage.pass(300)
  stage.do('write_value', { session: a, lock: 'h', token, value: 'changed', request: 4 })
  stage.do('write_value', { session: a, lock: 'h', token, value: 'again', request: 4 })
  stage.do('write_value', { session: b, lock: 'h', token, value: 'not mine', request: 9 })
  stage.do('read_value', { lock: 'h' })
  stage.do('validate', { lock: 'h', token })
  stage.do('show', { lock: 'h' })
  stage.release(a, 'h', token, 5)
  stage.pass(400)
  stage.release(a, 'h', token, 6)
  stage.release(a, 'h', token, 6)
  stage.do('show', { lock: 'h' })
  stage.do('end_wait', { ticket: -1 })
  for (const { ticket } of [...(stage.tape.state.locks.get('h')?.queue ?? [])]) stage.do('end_wait', { ticket })
  stage.pass(2_000)
  for (const { ticket } of [...(stage.tape.state.locks.get('h')?.queue ?? [])]) stage.do('end_wait', { ticket })
  const held = stage.tape.state.locks.get('h')?.grants[0]
  stage.take(a, ['h'], { waitMs: 0 })
  if (held) stage.do('transfer', { session: b, lock: 'h', token: held.token, toSession: 's-nobody', request: 7 })
  if (held) stage.do('transfer', { session: b, lock: 'h', token: held.token, toSession: a, request: 8 })
  if (held) stage.do('transfer', { session: b, lock: 'h', token: held.token, toSession: a, request: 8 })
  if (held) stage.do('transfer', { session: b, lock: 'h', token: held.token, toSession: a, request: 10 })
  stage.do('close_session', { session: a })
  stage.do('close_session', { session: a })
  stage.do('show_session', { session: c })
}

function sets(stage: Stage): void {
  const [a, b, c] = [stage.open(), stage.open(), stage.open()]
  const x = stage.take(a, ['x'], { request: 1, task: 'one' })
  const y = stage.take(b, ['y'], { request: 1 })
  stage.take(c, ['x', 'y', 'z'], { request: 1 })
  stage.take(c, ['x', 'y', 'z'], { ...wait, request: 2 })
  stage.take(a, ['y'], { ...wait, request: 2, task: 'one' })
  stage.take(b, ['x'], { ...wait, request: 2 })
  stage.take(b, ['x', claimOf('z', { mode: 'shared' })], { waitMs: 5, request: 3 })
  stage.release(a, 'x', x)
  stage.release(b, 'y', y)
  stage.take(a, [claimOf('r', { mode: 'shared' })], { request: 5 })
  stage.take(b, [claimOf('r', { mode: 'shared' })], { request: 5 })
  stage.take(c, ['r'], { ...wait, request: 5, priority: 2 })
  stage.take(a, [claimOf('r', { mode: 'shared' }), 'q'], { ...wait, request: 6 })
  stage.do('show', { lock: 'r' })
  stage.pass(1_500)
  stage.do('expire_session', { session: b })
  stage.pass(20_000)
  for (const session of [a, b, c]) stage.do('expire_session', { session })
}

function semaphores(stage: Stage): void {
  const [a, b] = [stage.open(), stage.open()]
  const permits = (count: number, limit = 3) => [claimOf('s', { mode: 'permits', permits: count, limit })]
  const two = stage.take(a, permits(2), { request: 1 })
  stage.take(b, permits(2), { request: 1 })
  stage.take(b, permits(2, 4), { request: 2 })
  stage.take(b, permits(4), { request: 3 })
  stage.take(b, ['s'], { request: 4 })
  const one = stage.take(b, permits(1), { request: 5 })
  stage.take(b, permits(2), { ...wait, request: 6 })
  stage.do('validate', { lock: 's', token: two + 1 })
  stage.release(a, 's', two)
  stage.configure('s', { limit: 5, description: 'five', labels: { team: 'ops' } })
  stage.take(a, permits(2, 5), { ...wait, request: 2 })
  stage.configure('s', { limit: 1 })
  stage.do('show', { lock: 's' })
  stage.release(b, 's', one)
  stage.do('close_session', { session: b })
  stage.do('close_session', { session: a })
}

function preemption(stage: Stage): void {
  const [low, high, top] = [stage.open(), stage.open(), stage.open()]
  stage.configure('p', { preemption: 'graceful', graceMs: 1_000, minHoldMs: 500, maxHoldMs: 60_000, lockDelayMs: 200 })
  const held = stage.take(low, ['p'], { request: 1 })
  stage.take(high, ['p'], { ...wait, request: 1, priority: 5, preempt: 'graceful' })
  stage.pass(600)
  stage.take(top, ['p'], { ...wait, request: 1, priority: 9, preempt: 'immediate' })
  stage.do('show', { lock: 'p' })
  stage.do('renew', { session: low })
  stage.do('renew', { session: low, seenChanges: 1, wantsGrants: true, ttlMs: 12_000 })
  stage.do('warn_hold', { lock: 'p', token: held })
  stage.pass(1_000)
  stage.do('end_hold', { lock: 'p', token: held })
  stage.do('renew', { session: low, seenChanges: 9 })
  stage.do('validate', { lock: 'p', token: held })
  stage.release(low, 'p', held)
  const still = stage.tape.state.locks.get('p')
  for (const { token } of [...(still?.delays ?? [])]) stage.do('end_delay', { lock: 'p', token })
  stage.pass(15_000)
  for (const { token } of [...(still?.delays ?? [])]) stage.do('end_delay', { lock: 'p', token })
  stage.do('pump', { lock: 'p' })
  stage.do('preempt', { lock: 'p', token: null, reason: 'needed', graceMs: 700 })
  stage.do('preempt', { lock: 'none', token: null, reason: 'needed', graceMs: 700 })
  for (const session of [low, high, top]) stage.do('close_session', { session })
}

function ends(stage: Stage): void {
  const [a, b] = [stage.open(4_000), stage.open(20_000)]
  const short = stage.take(b, [claimOf('m', { maxHoldMs: 2_000, lockDelayMs: 300 })], { request: 1 })
  stage.pass(1_000)
  stage.do('warn_hold', { lock: 'm', token: short })
  stage.do('end_hold', { lock: 'm', token: short })
  stage.pass(1_000)
  stage.do('end_hold', { lock: 'm', token: short })
  stage.take(a, ['m'], { request: 1 })
  stage.do('show', { lock: 'm' })
  stage.take(a, [claimOf('d', { lockDelayMs: 900 })], { request: 2 })
  stage.take(b, ['d'], { ...wait, request: 2 })
  stage.take(a, ['m'], { ...wait, request: 3 })
  stage.do('expire_session', { session: a })
  stage.pass(2_500)
  stage.do('expire_session', { session: a })
  stage.do('renew', { session: a })
  stage.do('show', { lock: 'd' })
  stage.do('list', { prefix: '', after: null, limit: 10 })
  for (const lock of ['m', 'd'])
    for (const { token } of [...(stage.tape.state.locks.get(lock)?.delays ?? [])])
      stage.do('end_delay', { lock, token })
  stage.pass(30_000)
  for (const lock of ['m', 'd'])
    for (const { token } of [...(stage.tape.state.locks.get(lock)?.delays ?? [])])
      stage.do('end_delay', { lock, token })
  stage.do('close_session', { session: b })
}

function operators(stage: Stage): void {
  const [a, b] = [stage.open(10_000, { holder: 'Bob' }), stage.open()]
  stage.take(a, ['o/1'], { request: 1 })
  stage.take(a, [claimOf('o/2', { mode: 'shared' })], { request: 2 })
  const mine = stage.take(b, [claimOf('o/2', { mode: 'shared' })], { request: 1 })
  stage.take(b, ['o/1'], { ...wait, request: 2 })
  const until = 1_700_000_000_000 + stage.tape.now
  stage.do('freeze', { prefix: 'o/', untilAt: until, reason: 'too late' })
  stage.do('freeze', { prefix: 'o/', untilAt: until + 5_000, reason: 'moving' }, 'ops')
  stage.do('freeze', { prefix: 'o/2', untilAt: until + 9_000, reason: 'again' })
  stage.do('list_freezes', {})
  stage.take(b, ['o/3'], { request: 3 })
  stage.do('show', { lock: 'o/2' })
  stage.do('force_release', { lock: 'o/1', token: null, reason: 'stuck', now: false }, 'ops')
  stage.do('force_release', { lock: 'o/2', token: mine, reason: 'stuck', now: true }, 'ops')
  stage.do('force_release', { lock: 'o/9', token: null, reason: 'stuck', now: true })
  stage.do('thaw', { prefix: 'o/2' })
  stage.do('thaw', { prefix: 'o/' }, 'ops')
  stage.do('thaw', { prefix: 'o/' })
  stage.do('show_session', { session: a })
  stage.do('renew', { session: a, seenChanges: 1, wantsGrants: true })
  stage.do('renew', { session: b, seenChanges: 1, settled: 200 })
  stage.configure('o/c', { description: 'one', queueMax: 1, defaultTtlMs: 3_000 })
  stage.configure('o/c', { description: 'two' }, false, 1)
  stage.configure('o/c', { description: 'three' }, true, 1)
  stage.configure('o/c', { description: 'four' }, true, '*')
  stage.configure('o/d', { description: 'none yet' }, false, '*')
  stage.do('delete_lock', { lock: 'o/c', ifVersion: 1 })
  stage.do('delete_lock', { lock: 'o/c', ifVersion: '*' })
  stage.do('delete_lock', { lock: 'o/c', ifVersion: null })
  stage.do('delete_lock', { lock: 'o/2', ifVersion: null })
  stage.do('evict', { subject: 'test', reason: 'gone' }, 'ops')
  stage.do('close_session', { session: a })
  stage.do('close_session', { session: b })
}

function singles(stage: Stage): void {
  const single = (name: string, ttlMs: number | null, digest = 'd') => ({
    ...{ ttlMs, defaultTtlMs: 4_000, holder: 'v1', key: { key: name, digest } },
  })
  stage.take(single('k1', 6_000), ['v'], { request: null })
  stage.take(single('k1', 6_000), ['v'], { request: null })
  stage.take(single('k1', 6_000, 'other'), ['v'], { request: null })
  stage.take(single('k2', null), ['v'], { request: null })
  const session = stage.tape.state.locks.get('v')?.grants[0]?.session ?? ''
  stage.do('renew_single', { session, lock: 'v', ttlMs: 8_000 })
  stage.do('renew_single', { session, lock: 'w' })
  stage.do('renew_single', { session: 's-nobody', lock: 'v' })
  stage.do('release_single', { session, lock: 'w' })
  stage.do('release_single', { session, lock: 'v' })
  stage.do('release_single', { session, lock: 'v' })
  stage.do('forget_key', { key: 'k1' })
  stage.pass(25 * 3_600_000)
  stage.do('forget_key', { key: 'k1' })
  stage.do('forget_key', { key: 'k1' })
}

function requests(stage: Stage): void {
  const [a, b] = [stage.open(), stage.open()]
  const token = stage.take(a, ['n'], { request: 1 })
  stage.take(a, ['n'], { request: 1 })
  stage.take(b, ['n'], { ...wait, request: 'text' })
  stage.take(b, ['n'], { ...wait, request: 'text' })
  stage.do('cancel', { session: b, cancels: 'text', request: 'c1' })
  stage.do('cancel', { session: b, cancels: 'text', request: 'c1' })
  stage.do('cancel', { session: b, cancels: 77, request: 78 })
  stage.take(b, ['n'], { ...wait, request: 77 })
  stage.take(b, ['n'], { ...wait, request: 80 })
  const [waiter] = stage.tape.state.locks.get('n')?.queue ?? []
  stage.do('abandon', { ticket: waiter?.ticket ?? 0 })
  stage.do('abandon', { ticket: waiter?.ticket ?? 0 })
  stage.release(a, 'n', token, 1)
  stage.release(a, 'n', token, 2)
  stage.take(a, ['n'], { request: 1 })
  stage.do('renew', { session: a, settled: 127 })
  stage.do('renew', { session: a, settled: 128 })
  stage.take(a, ['n'], { request: 1 })
  stage.release(a, 'n', token, 2)
  stage.do('renew', { session: 's-nobody' })
  stage.do('show_session', { session: 's-nobody' })
  stage.do('close_session', { session: b })
}

function limits(stage: Stage): void {
  const { tape } = stage
  const a = stage.open()
  stage.take(a, ['full'], { request: 1 })
  tape.beside = { isStorageFull: true }
  stage.take(a, ['full/2'], { request: 2 })
  stage.do('open_session', { ttlMs: 5_000, labels: null })
  stage.configure('full', { description: 'no room' })
  const quota = { isEnabled: true, heldLocks: 1, sessions: 1, waiters: 0, storedBytes: 2_000 }
  tape.beside = { quota }
  stage.do('open_session', { ttlMs: 5_000, labels: null })
  stage.take(a, ['full/3'], { request: 3 })
  stage.take(a, ['full'], { ...wait, request: 4, task: 't' })
  tape.beside = { quota: { ...quota, isEnabled: false } }
  stage.take(a, ['full/4'], { request: 5 })
  tape.beside = {}
  stage.configure('full', { queueMax: 0 })
  stage.take(stage.open(), ['full'], { ...wait, request: 1 })
  stage.do('close_session', { session: a })
}

function reads(stage: Stage): void {
  const a = stage.open(10_000, { holder: 'Reader' })
  for (const lock of ['l/1', 'l/2', 'l/3', 'm/1', 'm/2']) stage.take(a, [lock], { metadata: { lock } })
  stage.do('list', { prefix: 'l/', after: null, limit: 2 })
  stage.do('list', { prefix: 'l/', after: 'l/2', limit: 2 })
  stage.do('list', { prefix: '', after: null, limit: 3, only: ['m/*'] })
  stage.do('list', { prefix: '', after: 'm/1', limit: 100 })
  stage.do('queue', { lock: 'nothing' })
  stage.do('show', { lock: 'nothing' })
  stage.do('read_value', { lock: 'nothing' })
  stage.pass(700)
  stage.do('show_session', { session: a })
}
