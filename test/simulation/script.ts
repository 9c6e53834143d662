/** One of everything that can be asked of the core, in an order in which each matters: what `recorded.test.ts` keeps. */
import type { Command, ConfigFields, Labels } from '../../packages/server/src/locks/model.ts'
import { acquireOf, claimOf } from './core-world.ts'
import type { Tape } from './tape.ts'

type Of<Type extends Command['type']> = Omit<Extract<Command, { type: Type }>, 'type' | 'by'>
const wait = { waitMs: null }

export function play(tape: Tape): void {
  const stage = new Stage(tape)
  for (const act of [holds, sets, semaphores, preemption, ends, operators, singles, requests, limits, reads]) act(stage)
  for (const act of [corners, circles, traced, names, remains]) act(stage)
  tape.late()
}

class Stage {
  readonly tape: Tape

  constructor(tape: Tape) {
    this.tape = tape
  }

  do<Type extends Command['type']>(type: Type, fields: Of<Type>, by = 'ann'): void {
    // The fields are those of the type that stands beside them.
    this.tape.do({ type, by, ...fields } as unknown as Command)
  }
  open(ttlMs = 10_000, labels: Labels | null = null): string {
    const reply = this.tape.do({ type: 'open_session', by: 'ann', ttlMs, labels })
    if (reply.ok !== true || reply.type !== 'session') throw new Error(`no session: ${JSON.stringify(reply)}`)
    return reply.session.id
  }
  /** The token, or that of nobody. */
  take(...[session, claims, fields]: Parameters<typeof acquireOf>): number {
    const reply = this.tape.do(acquireOf(session, claims, fields))
    return reply.ok === true && reply.type === 'granted' ? reply.grants[0]!.token : 0
  }
  release(session: string, lock: string, token: number, request: number | string | null = null): void {
    this.do('release', { session, grants: [{ lock, token }], request })
  }
  configure(lock: string, fields: ConfigFields, replaces = false, ifVersion: number | '*' | null = null): void {
    this.do('configure', { lock, fields, replaces, ifVersion })
  }
  pass(ms: number): void {
    this.tape.now += ms
  }
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

function corners(stage: Stage): void {
  const [a, b, c] = [stage.open(), stage.open(3_000), stage.open()]
  stage.take(a, ['e', 'e'], { request: 1 })
  const [first] = [stage.take(a, ['e/1', 'e/2'], { request: 2 })]
  stage.take(a, ['e/1', 'e/2'], { request: 3, isReentrant: true })
  stage.release(a, 'e/1', first, 4)
  stage.take(a, ['e/1', 'e/2'], { request: 2 })
  stage.do('renew', { session: a, settled: 130 })
  stage.take(a, ['e/1', 'e/2'], { request: 2 })
  stage.do('transfer', { session: 's-nobody', lock: 'e/2', token: first, toSession: a, request: 1 })
  stage.do('transfer', { session: a, lock: 'e/2', token: 5, toSession: b, request: 205 })
  stage.do('write_value', { session: 's-nobody', lock: 'e/2', token: first, value: '', request: 1 })
  stage.do('release', { session: 's-nobody', grants: [{ lock: 'e/2', token: first }], request: 1 })
  stage.do('release', { session: a, grants: [{ lock: 'e/2', token: 3 }], request: 206 })
  stage.do('release', { session: b, grants: [{ lock: 'e/2', token: first }], request: 6 })
  // Forgotten while it is held, waited for behind a freeze, delayed.
  stage.do('delete_lock', { lock: 'e/2', ifVersion: null })
  const delayed = stage.take(b, [claimOf('e/4', { lockDelayMs: 60_000 })], { request: 1 })
  stage.take(c, ['e/4'], { ...wait, request: 2 })
  stage.take(c, [claimOf('e/5', { mode: 'shared' })], { request: 3 })
  stage.take(a, [claimOf('e/5', { mode: 'shared' })], { request: 207, isReentrant: true })
  stage.take(c, [claimOf('e/5', { mode: 'shared' })], { request: 4, isReentrant: true })
  stage.take(c, ['e/5'], { request: 5, isReentrant: true })
  const both = stage.tape.state.locks.get('e/5')?.grants.map(({ token }) => token) ?? []
  stage.do('preempt', { lock: 'e/5', token: 4, reason: 'wrong', graceMs: 100 })
  stage.do('preempt', { lock: 'e/5', token: both[0] ?? 0, reason: 'one', graceMs: 100 })
  stage.do('preempt', { lock: 'e/5', token: null, reason: 'all', graceMs: 0 })
  stage.do('force_release', { lock: 'e/5', token: 4, reason: 'wrong', now: false })
  stage.do('force_release', { lock: 'e/5', token: null, reason: 'all', now: true })
  stage.do('show_session', { session: c })
  stage.pass(4_000)
  stage.do('expire_session', { session: b })
  stage.do('cancel', { session: c, cancels: 2, request: 6 })
  stage.do('delete_lock', { lock: 'e/4', ifVersion: null })
  stage.take(a, ['e/4'], { request: 208 })
  stage.take(a, ['e/4'], { waitMs: 100, request: 209 })
  stage.do('end_delay', { lock: 'e/4', token: delayed })
  stage.pass(70_000)
  stage.do('end_delay', { lock: 'e/4', token: delayed })
  stage.do('delete_lock', { lock: 'e/4', ifVersion: null })
  stage.do('end_hold', { lock: 'e/2', token: first })
  stage.do('close_session', { session: a })
  stage.do('close_session', { session: c })
}

/** Whoever waits in a circle is told; readers beside readers are in nobody's way. */
function circles(stage: Stage): void {
  const [a, b, c] = [stage.open(), stage.open(), stage.open()]
  const shared = (lock: string) => [claimOf(lock, { mode: 'shared' })]
  stage.take(a, shared('w/1'), { request: 1 })
  stage.take(b, shared('w/1'), { request: 1 })
  stage.take(b, ['w/2'], { request: 2 })
  stage.take(c, ['w/3'], { request: 1 })
  stage.take(a, ['w/2'], { ...wait, request: 2 })
  stage.take(b, shared('w/1'), { request: 3, task: 'beside' })
  stage.take(c, ['w/1'], { ...wait, request: 2 })
  stage.take(b, ['w/3'], { ...wait, request: 4 })
  stage.take(b, ['w/3'], { ...wait, request: 5, task: 'beside' })
  stage.do('queue', { lock: 'w/1' })
  stage.do('queue', { lock: 'w/3' })
  stage.do('show_session', { session: b })
  stage.pass(250)
  stage.do('close_session', { session: b })
  stage.do('show_session', { session: c })
  stage.do('close_session', { session: a })
  stage.do('close_session', { session: c })
}

/** With the request's id and the address it came from, as REST has them. */
function traced(stage: Stage): void {
  const from = { by: 'key:1', trace: 'r-1', from: '192.0.2.7' }
  const ask = (command: Record<string, unknown>) => stage.tape.do({ ...from, ...command } as unknown as Command)
  const opened = ask({ type: 'open_session', ttlMs: 9_000, labels: { holder: 'Traced' } })
  const session = opened.ok === true && opened.type === 'session' ? opened.session.id : ''
  ask({ ...acquireOf(session, ['t/1'], { request: 1 }), ...from })
  ask({ ...acquireOf(session, ['t/2'], { request: 2, value: 'v' }), ...from })
  ask({ type: 'configure', lock: 't/1', fields: { graceMs: 10 }, replaces: false, ifVersion: null })
  ask({ type: 'freeze', prefix: 't/9', untilAt: 1_800_000_000_000, reason: 'traced' })
  ask({ type: 'preempt', lock: 't/1', token: null, reason: 'traced', graceMs: 50 })
  ask({ type: 'force_release', lock: 't/1', token: null, reason: 'traced', now: false })
  ask({ type: 'thaw', prefix: 't/9' })
  ask({ type: 'evict', subject: 'key:1', reason: 'traced' })
  ask({ ...acquireOf({ ttlMs: 2_000, defaultTtlMs: 1_000, holder: null, key: null }, ['t/3']), ...from })
  ask({ type: 'close_session', session })
}

/** Text that is not plain, and more names than a page. */
function names(stage: Stage): void {
  const a = stage.open(10_000, { 'a "key"': 'back\\slash', é: '\u0001' })
  const odd = ['"', '\\', '\u001f', ' ', '\ud7ff', '\ud800', '\udfff', '\ue000', '😀', 'é']
  for (const [place, text] of odd.entries())
    stage.take(a, [`odd/${text}`], { request: `${text}`, value: text, labels: { [text]: text }, priority: place - 5 })
  for (const number of [7, 3, 9, 1, 8, 2, 6, 4, 0, 5, 11, 10]) stage.take(a, [`page/${number}`])
  for (const limit of [1, 2, 3, 5]) stage.do('list', { prefix: 'page/', after: null, limit })
  stage.do('list', { prefix: 'page/', after: 'page/3', limit: 2, only: ['page/*', 'other'] })
  stage.do('close_session', { session: a })
}

/** Something of everything, that stays. */
function remains(stage: Stage): void {
  const [a, b] = [stage.open(9_000_000, { holder: 'Last' }), stage.open(9_000_000)]
  stage.take(a, ['z/1'], { request: 1, value: 'kept', metadata: { m: 1 } })
  const token = stage.take(a, [claimOf('z/2', { maxHoldMs: 900_000, lockDelayMs: 10 })], { request: 2 })
  stage.take(b, ['z/1'], { ...wait, request: 1 })
  stage.take(b, ['z/2', 'z/3'], { waitMs: 800_000, request: 2 })
  stage.release(a, 'z/2', token, 3)
  stage.take(a, [claimOf('z/4', { mode: 'permits', permits: 2, limit: 4 })], { request: 4 })
  stage.do('renew', { session: a, settled: 127 })
  stage.do('renew', { session: a, settled: 128 })
  stage.do('cancel', { session: b, cancels: 9, request: 10 })
  stage.configure('z/5', { limit: 2, description: 'kept' })
  stage.do('freeze', { prefix: 'z/6', untilAt: 1_800_000_000_000, reason: 'kept' })
  stage.do('force_release', { lock: 'z/4', token: null, reason: 'kept', now: false })
  stage.take({ ttlMs: 9_000_000, defaultTtlMs: 1, holder: 'v1', key: { key: 'kept', digest: 'd' } }, ['z/7'])
}
