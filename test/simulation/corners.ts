/** The acts in which something is odd: what is whole no more, circles, text that is not plain; and what stays at the end. */
import type { Command } from '../../packages/server/src/locks/model.ts'
import { acquireOf, claimOf } from './core-world.ts'
import { type Stage, wait } from './stage.ts'

export function corners(stage: Stage): void {
  const [a, b, c] = [stage.open(), stage.open(3_000), stage.open()]
  stage.take(a, ['e', 'e'], { request: 1 })
  const [first] = [stage.take(a, ['e/1', 'e/2'], { request: 2 })]
  stage.take(a, ['e/1', 'e/2'], { request: 3 })
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
export function circles(stage: Stage): void {
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
export function traced(stage: Stage): void {
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
export function names(stage: Stage): void {
  const a = stage.open(10_000, { 'a "key"': 'back\\slash', é: '\u0001' })
  const odd = ['"', '\\', '\u001f', ' ', '\ud7ff', '\ud800', '\udfff', '\ue000', '😀', 'é']
  for (const [place, text] of odd.entries())
    stage.take(a, [`odd/${text}`], { request: `${text}`, value: text, labels: { [text]: text }, priority: place - 5 })
  for (const number of [7, 3, 9, 1, 8, 2, 6, 4, 0, 5, 11, 10]) stage.take(a, [`page/${number}`])
  for (const limit of [1, 2, 3, 5]) stage.do('list', { prefix: 'page/', after: null, limit })
  stage.do('list', { prefix: 'page/', after: 'page/3', limit: 2, only: ['page/*', 'other'] })
  stage.do('close_session', { session: a })
}

/** Whoever asks in the name of nobody, too early, too late, or for what is not there. */
export function strangers(stage: Stage): void {
  const { tape } = stage
  const [a, b] = [stage.open(), stage.open(2_000)]
  const permits = (lock: string, count: number, limit: number) => [
    claimOf(lock, { mode: 'permits', permits: count, limit }),
  ]
  stage.take('s-nobody', ['y/1'], { request: 1 })
  const token = stage.take(a, ['y/1'], { request: 1, value: 'proclaimed' })
  tape.beside = { isStorageFull: true }
  stage.do('write_value', { session: a, lock: 'y/1', token, value: 'no room', request: 2 })
  stage.do('renew', { session: a })
  tape.beside = {}
  stage.do('warn_hold', { lock: 'y/1', token })
  stage.do('warn_hold', { lock: 'y/1', token: token + 1 })
  stage.do('end_hold', { lock: 'y/1', token })
  stage.do('expire_session', { session: a })
  stage.do('expire_session', { session: 's-nobody' })
  stage.do('end_delay', { lock: 'y/1', token })
  stage.do('end_delay', { lock: 'nothing', token })
  stage.do('pump', { lock: 'nothing' })
  stage.configure('y/1', { limit: 2 })
  // The value stays when the lock is free, and goes when it is forgotten.
  stage.release(a, 'y/1', token, 3)
  stage.do('show', { lock: 'y/1' })
  stage.do('delete_lock', { lock: 'y/1', ifVersion: null })
  stage.do('read_value', { lock: 'y/1' })
  stage.configure('y/2', { description: 'with a value' })
  const other = stage.take(b, ['y/2'], { request: 1, value: 'kept' })
  stage.release(b, 'y/2', other, 2)
  stage.do('delete_lock', { lock: 'y/2', ifVersion: 1 })
  stage.take(a, permits('y/3', 3, 3), { request: 4 })
  stage.take(a, permits('y/4', 4, 3), { ...wait, request: 5 })
  stage.do('release_single', { session: a, lock: 'y/3' })
  stage.do('renew_single', { session: a, lock: 'y/3' })
  const single = (name: string | null) => ({
    ...{ ttlMs: 1_000, defaultTtlMs: 4_000, holder: null, key: name === null ? null : { key: name, digest: 'd' } },
  })
  stage.take(b, ['y/5'], { request: 3 })
  stage.take(single('late'), ['y/5'], { waitMs: 100, request: 'late' })
  stage.take(single('late'), ['y/5'], { waitMs: 100, request: 'late' })
  stage.take(single(null), ['y/5'], { waitMs: 150 })
  stage.take(single('heir'), ['y/5'], { waitMs: 9_000, request: 'heir' })
  stage.take(single('tried'), ['y/5'], { waitMs: 0, request: 'tried' })
  stage.pass(160)
  for (const { ticket } of [...(tape.state.locks.get('y/5')?.queue ?? [])]) stage.do('end_wait', { ticket })
  stage.pass(3_000)
  stage.do('expire_session', { session: b })
  for (const { token: late } of [...(tape.state.locks.get('y/5')?.delays ?? [])])
    stage.do('end_delay', { lock: 'y/5', token: late })
  stage.do('show', { lock: 'y/5' })
  stage.do('transfer', { session: b, lock: 'y/2', token: other, toSession: a, request: 9 })
  stage.release(b, 'y/2', other)
  stage.do('close_session', { session: a })
}

/** Something of everything, that stays. */
export function remains(stage: Stage): void {
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
