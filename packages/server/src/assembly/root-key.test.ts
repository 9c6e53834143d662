import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ConfigError } from '../config/config.ts'
import { systemRandom } from '../random.ts'
import type { LastUse } from './remembered-store.ts'
import { openRootKey, settleRootKeyFile } from './root-key.ts'

const clusterKey = 'c'.repeat(64)

function folder(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-root-key-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const told: string[] = []
  const path = join(directory, 'root.key')
  const settle = (lastUse: LastUse) =>
    settleRootKeyFile({ directory, clusterKey, lastUse, told: what => told.push(what) })
  const open = (rootKey: string | null = null) =>
    openRootKey({ rootKey, engine: 'etcd' }, { directory, random: systemRandom, clusterKey })
  return { directory, path, told, settle, open }
}

test('over etcd a key that somebody has put into the file is refused, for it would not be used', t => {
  const { path, told, settle, open } = folder(t)
  settle('none')
  const { key } = open()
  settle('this')
  writeFileSync(path, 'a-new-key-of-the-operator\n')
  for (const lastUse of ['this', 'none'] as const)
    assert.throws(
      () => settle(lastUse),
      error => error instanceof ConfigError && /HOLDFAST_ROOT_KEY on every server.*remove the file/.test(error.message),
    )
  assert.equal(readFileSync(path, 'utf8'), 'a-new-key-of-the-operator\n')
  rmSync(path)
  settle('this')
  assert.equal(open().key, key)
  assert.deepEqual(told, [])
  assert.deepEqual(open('preset-on-every-server'), { key: 'preset-on-every-server', path: null })
})

test('a folder that was another store’s keeps that one’s key beside, and is told of', t => {
  for (const [lastUse, isEmbedded] of [
    ['another', false],
    ['none', true],
  ] as const) {
    const { directory, path, told, settle, open } = folder(t)
    if (isEmbedded) mkdirSync(join(directory, 'store'))
    writeFileSync(path, 'the-key-of-another-store\n')
    settle(lastUse)
    assert.equal(readFileSync(`${path}.old`, 'utf8'), 'the-key-of-another-store\n')
    assert.equal(told.length, 1)
    assert.ok(!existsSync(path))
    assert.equal(readFileSync(open().path!, 'utf8').trim(), open().key)
  }
})

test('what a power cut has left of the file is no key that somebody chose', t => {
  const { path, settle } = folder(t)
  for (const text of ['', '\n', 'torn', '\0'.repeat(44)]) {
    writeFileSync(path, text)
    settle('this')
  }
  assert.ok(!existsSync(`${path}.old`))
})
