/** A new authority takes the place of the old one only when nobody shows certificates of the old one any more. */
import assert from 'node:assert/strict'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemClock } from '../clock.ts'
import { systemRandom } from '../random.ts'
import { systemProcesses } from '../shards/processes.ts'
import { certificatesIn, isSignedByOneOf } from './certificates.ts'
import { ClusterDirectory } from './directory.ts'
import { readText, remove, writeWhole } from './files.ts'
import { createAuthority, issueMember, saveAuthority } from './identities.ts'
import { beginAuthority, finishAuthority } from './rotation.ts'

const surroundings = { clock: systemClock, random: systemRandom }

let folder: string
let directory: ClusterDirectory
/** What a member on another machine shows. */
let elsewhere: string
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-rotation.'))
  directory = new ClusterDirectory(join(folder, 'cluster'))
  directory.create({ token: 'test', quotaBytes: 1, root: 'holdfast', members: [] })
  const old = createAuthority('test', surroundings)
  saveAuthority(directory, old)
  writeWhole(directory.caFile, old.certificate)
  elsewhere = issueMember(old, { token: 'test', name: 'm2', host: '10.0.0.2' }, surroundings).peer
})
after(() => remove(folder))

/** A member elsewhere that has not been started as far as it can be seen, so it still shows an old certificate. */
function work(trouble: string | null) {
  const m2 = { name: 'm2', id: 2n, url: null, isLocal: false, isLeader: true, status: null, trouble }
  const doors = { look: async () => ({ members: [m2], leader: m2, alarms: [] }) }
  const progress = { say: () => undefined, update: () => undefined }
  // What the two steps ask of the doors.
  return { ...surroundings, directory, doors, progress, signal: AbortSignal.timeout(60_000) } as unknown as Parameters<
    typeof beginAuthority
  >[0]
}

function believed(): string[] {
  return certificatesIn(readText(directory.caFile) ?? '')
}

test('the first step writes nothing before all are well and somebody runs the members', async () => {
  await assert.rejects(beginAuthority(work(null)), /are not run by/)
  writeFileSync(directory.runningFile, JSON.stringify({ process: systemProcesses.own(), members: [] }))
  await assert.rejects(beginAuthority(work('does not answer')), /m2 does not answer/)
  assert.equal(believed().length, 1)
})

test('the first step again, while the second still waits for somebody, does not forget the old authority', async () => {
  await beginAuthority(work(null))
  // Cut short and done again: that is still the first step.
  await beginAuthority(work(null))
  assert.equal(believed().length, 2)
  assert.deepEqual(await finishAuthority(work(null)), { waitingFor: ['m2'] })
  await assert.rejects(beginAuthority(work(null)), { name: 'ClusterFailure', message: /first `.*--ca --finish`/ })
  assert.equal(believed().length, 2)
  assert.ok(isSignedByOneOf(elsewhere, believed().join('')))
})
