/** What etcd 3.5 writes when it ends, as it was written. */
import assert from 'node:assert/strict'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { remove } from './files.ts'
import { lastWordsIn, sizeOfLog } from './last-words.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-words.'))
after(() => remove(folder))

const before = '{"level":"fatal","msg":"of the time before","error":"x"}\n'
const warned =
  '{"level":"warn","ts":"2026-11-22T14:32:41Z","caller":"auth/store.go:1241","msg":"simple token is not signed"}'
const taken =
  '{"level":"fatal","caller":"etcdmain/etcd.go:204","msg":"discovery failed","error":"listen tcp 127.0.0.1:2379: bind: address already in use","stacktrace":"go.etcd.io/etcd"}'
const damaged =
  '{"level":"panic","caller":"backend/backend.go:201","msg":"failed to open database","path":"db","error":"invalid database","stacktrace":"go"}'
const gone = [
  '{"level":"warn","msg":"server error","error":"the member has been permanently removed from the cluster"}',
  '{"level":"warn","msg":"data-dir used by this member must be removed"}',
]

function wordsAfter(...lines: string[]) {
  const file = join(folder, 'etcd.log')
  writeFileSync(file, before)
  const from = sizeOfLog(file)
  writeFileSync(file, `${before}${lines.join('\n')}\n`)
  return lastWordsIn(file, from)
}

test('the last grave line since the start is what it ended of', () => {
  const text = 'discovery failed: listen tcp 127.0.0.1:2379: bind: address already in use'
  assert.deepEqual(wordsAfter(warned, taken), { text, isRemoved: false })
  assert.equal(wordsAfter(damaged, 'goroutine 1 [running]:').text, 'failed to open database: invalid database')
  assert.deepEqual(wordsAfter(warned), { text: '', isRemoved: false })
})

test('that it has been removed is known, though it is said as a warning', () => {
  assert.equal(wordsAfter(warned, ...gone, warned).isRemoved, true)
})

test('a log that was rotated is read from its beginning, and one that is not there says nothing', () => {
  const file = join(folder, 'rotated.log')
  writeFileSync(file, `${taken}\n`)
  assert.match(lastWordsIn(file, 1_000_000).text, /address already in use/)
  assert.deepEqual(lastWordsIn(join(folder, 'none'), 0), { text: '', isRemoved: false })
  assert.equal(sizeOfLog(join(folder, 'none')), 0)
})

test('of a long log only the end is read', () => {
  assert.match(wordsAfter(...Array.from({ length: 2_000 }, () => warned), taken).text, /address already in use/)
})
