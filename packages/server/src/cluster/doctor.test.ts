/** What is measured, where it is just well enough and where it is not. */
import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Clock, systemClock } from '../clock.ts'
import {
  COMMIT_MS_MAX,
  examineDisk,
  judgeCommits,
  judgeMemberSyncs,
  leastTtlMs,
  MEMBER_SYNC_MS_MAX,
  SYNC_MS_MAX,
  syncsOf,
  ttlsOf,
} from './doctor.ts'
import { remove } from './files.ts'
import { examineServers, type ServerSeen, STALL_MS_MAX, STEP_MS_MAX, stallOf, stepOf, stepsOf } from './servers-seen.ts'

const server: ServerSeen = {
  url: 'http://a',
  unready: null,
  unread: null,
  stalls: 0,
  clockSteps: 0,
  ttls: [],
  slowestMs: 3,
  wallMs: 1_000_000,
  roundTripMs: 0,
  release: '1.2.3',
}
const clock: Clock = { ...systemClock, wallMs: () => 1_000_000 }

test('a server that answers late is a problem, one that has stalled before worth a word', () => {
  assert.equal(stallOf(server).level, 'ok')
  assert.equal(stallOf({ ...server, slowestMs: STALL_MS_MAX }).level, 'ok')
  const late = stallOf({ ...server, slowestMs: STALL_MS_MAX + 1 })
  assert.equal(late.level, 'problem')
  assert.match(late.change, /More CPU/)
  assert.equal(stallOf({ ...server, stalls: 2 }).level, 'notice')
})

test('a server that is not ready is a problem, with its reason; metrics that were not read are told', () => {
  const found = (more: Partial<ServerSeen>) =>
    examineServers([{ ...server, ...more }], clock).map(({ level, what, change }) => `${level}: ${what} → ${change}`)
  assert.ok(found({}).every(line => line.startsWith('ok: ')))
  const away = found({ unready: 'the store does not take the beats of this server' })
  assert.match(away[0]!, /^problem: http:\/\/a is not ready: the store does not take .* → Its log says more/)
  assert.match(found({ unready: 'stopping' })[0]!, /→ It was told to stop/)
  const unread = found({ unread: 'it answers 401: no', stalls: null, clockSteps: null })
  assert.match(
    unread[0]!,
    /^notice: not looked at: stalls, clock steps and TTLs of http:\/\/a: it answers 401: no → Name a key/,
  )
})

test('a clock that is off is told, and no problem: nothing is decided by it', () => {
  assert.equal(stepOf({ ...server, wallMs: 1_000_000 - STEP_MS_MAX }, clock).level, 'ok')
  assert.equal(stepOf({ ...server, wallMs: 1_000_000 - STEP_MS_MAX - 1 }, clock).level, 'notice')
  assert.equal(stepOf({ ...server, wallMs: 1_000_000 + STEP_MS_MAX + 1 }, clock).level, 'notice')
})

test('servers of different versions are told', () => {
  const findings = examineServers([server, { ...server, url: 'http://b', release: '1.2.4' }], clock)
  assert.ok(findings.some(({ what }) => /different versions: 1\.2\.3, 1\.2\.4/.test(what)))
})

test('commits that are slow against beats are a problem; which TTLs outlast a death is told', () => {
  const all = (ms: number) => Array.from({ length: 20 }, () => ms)
  assert.equal(judgeCommits(all(5)).level, 'ok')
  assert.match(judgeCommits(all(5)).what, /a TTL of 4300 ms or more/)
  assert.match(judgeCommits(all(COMMIT_MS_MAX)).what, /a TTL of 9400 ms or more/)
  assert.equal(judgeCommits(all(COMMIT_MS_MAX)).level, 'ok')
  assert.equal(judgeCommits(all(COMMIT_MS_MAX + 1)).level, 'problem')
  // One that was slow among twenty is no finding.
  assert.equal(judgeCommits([...all(5), COMMIT_MS_MAX * 4]).level, 'ok')
})

test('a disk that syncs slowly is a problem', () => {
  const folder = join(tmpdir(), `holdfast-doctor-${process.pid}`)
  const taking = (ms: number): Clock => {
    let nowMs = 0
    return { ...systemClock, hrtimeMs: () => (nowMs += ms) }
  }
  try {
    assert.equal(syncsOf(folder, taking(SYNC_MS_MAX), 'an SSD').level, 'ok')
    const slow = syncsOf(folder, taking(SYNC_MS_MAX + 1), 'an SSD')
    assert.equal(slow.level, 'problem')
    assert.equal(slow.change, 'an SSD')
    assert.equal(examineDisk(folder, taking(SYNC_MS_MAX)).level, 'ok')
    assert.match(examineDisk(folder, taking(SYNC_MS_MAX + 1)).change, /every grant waits for a sync/)
  } finally {
    remove(folder)
  }
})

test('TTLs in use that a change of owner outlasts are told, with how long is enough', () => {
  const all = Array.from({ length: 20 }, () => 5)
  const leastMs = leastTtlMs(all)
  assert.equal(leastMs, 4_300)
  assert.deepEqual(ttlsOf(server, leastMs), [])
  const opened = (short: number) => [
    { le: 3, count: 0 },
    { le: 4, count: short },
    // Those between here and the last may be long enough: nothing is said of them.
    { le: 5, count: 7 },
    { le: Number.POSITIVE_INFINITY, count: 10 },
  ]
  assert.deepEqual(
    ttlsOf({ ...server, ttls: opened(0) }, leastMs).map(({ level }) => level),
    ['ok'],
  )
  const [short] = ttlsOf({ ...server, ttls: opened(2) }, leastMs)
  assert.equal(short?.level, 'notice')
  assert.match(short.what, /of 10 sessions .* 2 have a TTL of 4 s or less/)
  assert.match(short.change, /4300 ms or more/)
})

test('a clock that was set since the server started is told', () => {
  assert.deepEqual(stepsOf(server), [])
  assert.deepEqual(stepsOf({ ...server, clockSteps: null }), [])
  const [found] = stepsOf({ ...server, clockSteps: 2 })
  assert.equal(found?.level, 'notice')
  assert.match(found.what, /was set 2 times/)
})

test('a member is judged by the slowest hundredth of its own syncs', () => {
  const counted = (within: number, count: number) => ({
    member: 'm1',
    buckets: [
      { le: MEMBER_SYNC_MS_MAX / 2_000, count: 0 },
      { le: MEMBER_SYNC_MS_MAX / 1_000, count: within },
      { le: Number.POSITIVE_INFINITY, count },
    ],
  })
  assert.equal(judgeMemberSyncs(counted(990, 1_000)).level, 'ok')
  assert.match(judgeMemberSyncs(counted(990, 1_000)).what, /all but 1 in a hundred within 32 ms/)
  const slow = judgeMemberSyncs(counted(989, 1_000))
  assert.equal(slow.level, 'problem')
  assert.match(slow.what, /1000 times since it started, 11 of them slower than 32 ms/)
  assert.match(judgeMemberSyncs(counted(0, 99)).what, /too few/)
  assert.equal(judgeMemberSyncs(counted(0, 100)).level, 'problem')
  assert.match(judgeMemberSyncs(counted(0, 0)).change, /--unsafe-no-fsync/)
  assert.equal(judgeMemberSyncs({ member: 'm1', failure: 'ECONNREFUSED' }).level, 'notice')
})
