/** A restore takes nothing of anybody's away, and the same backup never gives the same tokens twice. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemClock } from '../clock.ts'
import { systemRandom } from '../random.ts'
import { ClusterDirectory } from './directory.ts'
import { makeFolder, moveFolder, remove } from './files.ts'
import { restore } from './restore.ts'
import { noteRestored, restoredBefore, restoredFile } from './restored.ts'

let folder: string
let etcd: string
let file: string
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-restore.'))
  file = join(folder, 'before.db')
  writeFileSync(file, 'a backup')
  etcd = join(folder, 'etcd')
  // It opens every backup, and makes nothing of any.
  const script =
    'case $1 in version) echo "etcdutl version: 3.5.16";; *) echo \'{"hash":1,"revision":2,"totalKey":3}\';; esac'
  for (const [name, text] of [
    ['etcd', 'echo "etcd Version: 3.5.16"'],
    ['etcdutl', script],
  ] as const) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`)
    chmodSync(join(folder, name), 0o700)
  }
})
after(() => remove(folder))

function restoreInto(path: string) {
  const progress = { say: () => undefined, update: () => undefined }
  const signal = AbortSignal.timeout(60_000)
  const surroundings = { clock: systemClock, random: systemRandom, signal, progress }
  const asked = { count: 1, host: '127.0.0.1', port: 0, etcd, root: 'holdfast', aboveToken: null, waitMs: null }
  return restore({ ...surroundings, ...asked, directory: new ClusterDirectory(path), file })
}

test('a folder that has anything in it is refused, and stays as it is', async () => {
  const path = join(folder, 'work')
  mkdirSync(join(path, 'sub'), { recursive: true })
  writeFileSync(join(path, 'sub', 'notes'), 'precious')
  await assert.rejects(restoreInto(path), { name: 'ClusterFailure', message: /There is something in .*work already/ })
  assert.equal(readFileSync(join(path, 'sub', 'notes'), 'utf8'), 'precious')
  await assert.rejects(restoreInto(file), { name: 'ClusterFailure', message: /is no folder/ })
  assert.equal(readFileSync(file, 'utf8'), 'a backup')
})

test('what has come into the folder meanwhile is not removed for the cluster', () => {
  const [from, to] = [join(folder, 'from'), join(folder, 'to')]
  mkdirSync(from)
  mkdirSync(to)
  writeFileSync(join(to, 'notes'), 'precious')
  assert.throws(() => moveFolder(from, to), { name: 'ClusterFailure', message: /there are files in it already/ })
  assert.deepEqual(readdirSync(to), ['notes'])
  remove(join(to, 'notes'))
  moveFolder(from, to)
  assert.ok(!existsSync(from) && existsSync(to))
})

test('of two restores into one folder the second is refused, and takes nothing from the first', async () => {
  const path = join(folder, 'both')
  const scratch = `${path}.restoring`
  mkdirSync(scratch)
  writeFileSync(join(scratch, 'half'), '')
  await assert.rejects(restoreInto(path), {
    name: 'ClusterFailure',
    message: /another restore into .*both runs, or one/,
  })
  assert.deepEqual(readdirSync(scratch), ['half'])
})

test('a folder of somebody else stays as open as it was', () => {
  const shared = join(folder, 'shared')
  mkdirSync(shared)
  chmodSync(shared, 0o1777)
  makeFolder(shared)
  assert.equal(statSync(shared).mode & 0o7777, 0o1777)
  makeFolder(join(shared, 'new'))
  assert.equal(statSync(join(shared, 'new')).mode & 0o777, 0o700)
})

test('how often a backup was restored stands beside it, and two at once are not taken for one', () => {
  const nothing = { times: 0, epoch: 0 }
  assert.deepEqual(restoredBefore(file), nothing)
  noteRestored(file, { before: nothing, epoch: 65_537 })
  assert.deepEqual(restoredBefore(file), { times: 1, epoch: 65_537 })
  assert.throws(() => noteRestored(file, { before: nothing, epoch: 65_537 }), /at the same time: do this again/)
  noteRestored(file, { before: restoredBefore(file), epoch: 131_073 })
  assert.deepEqual(restoredBefore(file), { times: 2, epoch: 131_073 })
  assert.deepEqual(
    readdirSync(folder).filter(name => name.startsWith('before.db')),
    ['before.db', 'before.db.restored'],
  )
})

test('a restore that cannot tell whether there was one before is refused', async () => {
  writeFileSync(restoredFile(file), '{"times":"many"}')
  const message = /damaged.*would give out the same tokens.*--above-token/
  await assert.rejects(restoreInto(join(folder, 'twice')), { name: 'ClusterFailure', message })
  assert.ok(!existsSync(join(folder, 'twice')) && !existsSync(join(folder, 'twice.restoring')))
})
