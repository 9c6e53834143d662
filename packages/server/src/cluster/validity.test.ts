/** Certificates under clocks that are wrong: what is renewed by them lets everybody in when they are right again. */
import assert from 'node:assert/strict'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Clock, systemClock } from '../clock.ts'
import { systemRandom as random } from '../random.ts'
import { beginCluster } from './begin.ts'
import { AUTHORITY_MS, LEAF_MS, RENEW_MS } from './certificates.ts'
import { ClusterDirectory } from './directory.ts'
import { remove, writeWhole } from './files.ts'
import { authorityOf, saveAuthority } from './identities.ts'
import { Doors } from './picture.ts'
import { renewIfDue, rotateLeaves } from './rotation.ts'
import { runCluster } from './up.ts'
import { certificatesOf } from './validity.ts'

const ahead = (ms: number): Clock => ({ ...systemClock, wallMs: () => systemClock.wallMs() + ms })
const DAY_MS = 86_400_000

let folder: string
let directory: ClusterDirectory
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-validity.'))
  directory = new ClusterDirectory(join(folder, 'cluster'))
  await beginCluster({ clock: systemClock, random, directory, count: 1, host: '127.0.0.1', port: 0, etcd: 'etcd' })
})
after(() => remove(folder))

const problems = (clock: Clock) => certificatesOf(directory, clock).flatMap(({ problem }) => problem?.what ?? [])

/** What a Holdfast wrote that took the time of its clock for the beginning. */
function writeNotValidYet(directory: ClusterDirectory): void {
  const clock = ahead(400 * DAY_MS)
  writeWhole(
    directory.clientFile,
    authorityOf(directory).issue({ name: 'x', purpose: 'client', hosts: [] }, { clock, random }),
  )
}

test('what is renewed by a clock that is ahead is valid by one that is right', () => {
  const clock = ahead(LEAF_MS - RENEW_MS + DAY_MS)
  assert.equal(renewIfDue(directory, { clock, random }).length, 3)
  assert.deepEqual([problems(clock), problems(systemClock)], [[], []])
  assert.deepEqual(renewIfDue(directory, { clock: systemClock, random }), [])
})

test('what is not valid yet is named, also when nobody answers, and replaced', async () => {
  writeNotValidYet(directory)
  assert.match(problems(systemClock).join(), /client\.pem is not valid before \d{4}-\d\d-\d\d$/)
  const doors = new Doors(directory, systemClock)
  await assert.rejects(
    doors.look(),
    /client\.pem is not valid before .*: set it right, or if it is right: holdfast cluster rotate-certs$/,
  )
  doors.close()
  assert.equal(renewIfDue(directory, { clock: systemClock, random }).length, 3)
  assert.deepEqual(problems(systemClock), [])
})

test('by a clock from before the authority nothing is renewed, and what is made by hand is good for a year from then', () => {
  assert.deepEqual(renewIfDue(directory, { clock: ahead(-DAY_MS), random }), [])
  rotateLeaves(directory, { clock: ahead(-DAY_MS), random })
  const leaf = certificatesOf(directory, systemClock).find(({ file }) => file === directory.clientFile)
  assert.ok(leaf?.isValid && leaf.expiresAt > systemClock.wallMs() + LEAF_MS - 2 * DAY_MS)
})

test('what ends soon, and what has ended, is named with what helps', () => {
  assert.match(problems(ahead(LEAF_MS - RENEW_MS + DAY_MS)).join(), /client\.pem ends on /)
  const over = certificatesOf(directory, ahead(AUTHORITY_MS + DAY_MS)).map(({ problem }) => problem)
  assert.match(over[0]?.what ?? '', /ca\.pem ended on /)
  assert.equal(over[0]?.change, 'holdfast cluster rotate-certs --ca')
  assert.equal(over[1]?.change, 'holdfast cluster rotate-certs')
})

test('a certificate that is none is told by its name', () => {
  writeFileSync(directory.clientFile, 'half')
  assert.throws(() => certificatesOf(directory, systemClock), /client\.pem is damaged: it should hold a certificate/)
})

test('`up` renews before the members are started: else nobody would ever get as far', async () => {
  const empty = new ClusterDirectory(join(folder, 'empty'))
  empty.create({ token: 'test', quotaBytes: 1, root: 'holdfast', members: [] })
  saveAuthority(empty, authorityOf(directory))
  writeWhole(empty.caFile, authorityOf(empty).certificate)
  writeNotValidYet(empty)
  const controller = new AbortController()
  const progress = { say: () => undefined, update: () => undefined }
  let found: string[] | null = null
  await runCluster({
    ...{ directory: empty, clock: systemClock, random, signal: controller.signal, progress, backups: null },
    first: async () => {
      found = certificatesOf(empty, systemClock).flatMap(({ problem }) => problem?.what ?? [])
      controller.abort()
    },
    ready: () => undefined,
  })
  assert.deepEqual(found, [])
})
