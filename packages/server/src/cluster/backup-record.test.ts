import assert from 'node:assert/strict'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { backupDueMs, backupProblem, backupRecord, noteBackup } from './backup-record.ts'
import { ClusterDirectory } from './directory.ts'
import { remove } from './files.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-record.'))
after(() => remove(folder))
const directory = new ClusterDirectory(folder)
const HOUR_MS = 3_600_000
const made = { file: '/b/x.db', bytes: 1, keys: 1, revision: 1, hash: '00000001', at: 10 * HOUR_MS }

test('what is noted is there, beside what was', () => {
  assert.deepEqual(backupRecord(directory), { last: null, failure: null, everyMs: null })
  noteBackup(directory, { everyMs: HOUR_MS })
  noteBackup(directory, { last: made, failure: null })
  assert.deepEqual(backupRecord(directory), { last: made, failure: null, everyMs: HOUR_MS })
})

test('the next backup is due a while after the last one, whoever is started meanwhile; at once when there was none', () => {
  const due = (nowMs: number, of = directory) => backupDueMs(of, { everyMs: HOUR_MS, nowMs })
  assert.equal(due(made.at + 1_000), HOUR_MS - 1_000)
  assert.equal(due(made.at + 2 * HOUR_MS), 0)
  assert.equal(due(made.at - 9 * HOUR_MS), HOUR_MS)
  assert.equal(due(made.at, new ClusterDirectory(join(folder, 'none'))), 0)
  writeFileSync(directory.backupFile, 'x')
  assert.equal(due(made.at + 1_000), 0)
})

test('a failure is a problem until the next success; and so is a backup that is twice as late as it should be', () => {
  const record = { last: made, failure: null, everyMs: HOUR_MS }
  assert.equal(backupProblem(record, made.at + 2 * HOUR_MS), null)
  assert.match(backupProblem(record, made.at + 2 * HOUR_MS + 1)?.what ?? '', /one was to be made every 3600 s/)
  assert.equal(backupProblem({ ...record, everyMs: null }, made.at + 1_000 * HOUR_MS), null)
  const failed = { ...record, failure: { at: made.at + 1, why: 'the disk is full' } }
  assert.match(backupProblem(failed, made.at + 2)?.what ?? '', /failed: the disk is full/)
})

test('what cannot be written down ends nothing', () => {
  writeFileSync(join(folder, 'a file'), '')
  noteBackup(new ClusterDirectory(join(folder, 'a file', 'below')), { everyMs: 1 })
})
