import { strict as assert } from 'node:assert'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Lock, LockLostError } from '@holdfast/client'
import { beliefMs } from '../../client/src/belief.ts'
import { exitCodes } from './exit.ts'
import { runUnderLock, stopMsOf } from './under-lock.ts'

/** When the next renewal is due (client/src/renewal.ts): so old the last one can be when the server goes. */
const HEARTBEAT_OF_TTL = 1 / 3

test('operations.md says how long a server may be away', () => {
  const page = readFileSync(new URL('../../../docs/operations.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| (\d+) s[^|]*\| ([\d.]+) s \| ([\d.]+) s \|$/gm)]
  assert.ok(rows.length >= 3, `${rows}`)
  for (const [, ttl, library, run] of rows) {
    const ttlMs = Number(ttl) * 1_000
    const fullMs = beliefMs({ ttlMs })
    const libraryMs = fullMs - ttlMs * HEARTBEAT_OF_TTL
    assert.deepEqual([library, run], [seconds(libraryMs), seconds(libraryMs - stopMsOf(fullMs))], `TTL ${ttl} s`)
  }
})

/** Rather a tenth too little. */
function seconds(ms: number): string {
  return (Math.floor(ms / 100) / 10).toFixed(1)
}

/** What is asked of a lock of which no time is left. */
function overLock(assertHeld: () => void): Lock {
  const lock = { name: 'a', token: 7, mode: 'exclusive', waitedMs: 0, validForMs: () => 0, on: () => () => undefined }
  return { ...lock, assertHeld } as unknown as Lock
}

test('nothing is started under a lock that is lost by then', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'under-lock-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const lost = new LockLostError({ lock: 'a', token: 7, reason: 'forced' })
  const lock = overLock(() => {
    throw lost
  })
  await assert.rejects(
    runUnderLock(lock, ['touch', join(folder, 'ran')], () => undefined),
    lost,
  )
  assert.deepEqual(readdirSync(folder), [])
})

test('a command is stopped when the lock is lost while it is being started, before anybody listens', async () => {
  const told: string[] = []
  const code = await runUnderLock(
    overLock(() => undefined),
    ['sleep', '5'],
    ({ event }) => told.push(event),
  )
  assert.equal(code, exitCodes.lost)
  assert.deepEqual(told, ['acquired', 'stopping', 'ended'])
})

test('what a child leaves behind has its time to clean up though the time of day jumps', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'under-lock-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const hourMs = 3_600_000
  let hours = 0
  t.mock.method(Date, 'now', () => hourMs * hours++)
  const lock = { ...overLock(() => undefined), validForMs: () => 60_000 } as unknown as Lock
  const cleaning = `trap "sleep 0.3; touch ${join(folder, 'cleaned')}; exit" TERM; while :; do sleep 0.05; done`
  assert.equal(await runUnderLock(lock, ['sh', '-c', `(${cleaning}) & sleep 0.3`], () => undefined), 0)
  assert.deepEqual(readdirSync(folder), ['cleaned'])
})
