/** What the system refuses is told as what is needed, and what may not be looked at is not taken for missing. */
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ClusterDirectory } from './directory.ts'
import { makeDirectory, parseJson, readText, remove, writeWhole } from './files.ts'

/** Nobody who owns anything. */
const STRANGER = 65_534

let folder: string
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-files.'))
})
after(() => remove(folder))

/** As one without permission: the superuser has to be somebody else for that. */
function asStranger(act: () => void): void {
  const isRoot = process.geteuid?.() === 0
  if (isRoot) process.seteuid?.(STRANGER)
  try {
    act()
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
}

test('a cluster that may not be read is not taken for none', () => {
  const path = join(folder, 'closed')
  const directory = new ClusterDirectory(path)
  directory.create({ token: 'test', quotaBytes: 1, root: 'holdfast', members: [] })
  chmodSync(folder, 0o755)
  chmodSync(path, 0o000)
  const message = new RegExp(`cluster\\.json cannot be read by this user \\(.+\\): ${path} belongs to .+\\.`)
  asStranger(() => {
    assert.throws(() => directory.plan(), { name: 'ClusterFailure', message })
    assert.throws(() => directory.exists, { name: 'ClusterFailure', message })
  })
  chmodSync(path, 0o700)
  assert.ok(directory.exists)
  assert.throws(() => new ClusterDirectory(join(folder, 'none')).plan(), /There is no cluster in/)
})

test('what cannot be written or made says why', () => {
  const file = join(folder, 'file')
  writeFileSync(file, 'x')
  const refusals: [act: () => void, message: RegExp][] = [
    [() => writeWhole(join(folder, 'none', 'a'), ''), /none\/a cannot be written: there is no folder .*none\. Make it/],
    [() => writeWhole(join(file, 'a'), ''), /file\/a cannot be written: there is a file on the way/],
    [() => makeDirectory(file), /file cannot be made: there is a file on the way where a folder is needed/],
    [() => makeDirectory(join(file, 'a')), /file\/a cannot be made: there is a file on the way/],
    [() => readText(join(file, 'a')), /file\/a cannot be read: there is a file on the way/],
    [() => parseJson('x', file), /file is damaged/],
    [() => parseJson('[]', file), /file is damaged/],
  ]
  for (const [act, message] of refusals) assert.throws(act, { name: 'ClusterFailure', message })
  chmodSync(folder, 0o555)
  asStranger(() => {
    const message = /a cannot be written by this user \(.+\): .* belongs to .*\. Do this as the one whom it belongs to/
    assert.throws(() => writeWhole(join(folder, 'a'), ''), { name: 'ClusterFailure', message })
  })
  chmodSync(folder, 0o700)
})
