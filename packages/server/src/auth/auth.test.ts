import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { AUTHORIZATION_CHARS_MAX } from '@holdfast/protocol/limits'
import { systemRandom } from '../random.ts'
import { keyOf } from './authorization.ts'
import { KEY_CHARS_MIN, readOrCreateKey } from './key-file.ts'
import { SESSION_ID_CHARS_MAX, sessionSecrets } from './secrets.ts'

test('a key is read from a bearer token, or from the password of basic credentials', () => {
  const basic = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`
  const cases: [string | undefined, string | null][] = [
    [undefined, null],
    ['', null],
    ['Bearer', null],
    ['Bearer ', null],
    ['Bearer abc', 'abc'],
    ['bearer abc', 'abc'],
    [basic('any:abc'), 'abc'],
    [basic(':a:b'), 'a:b'],
    [basic('abc'), null],
    [basic('abc:'), null],
    ['Digest abc', null],
    [`Bearer ${'x'.repeat(AUTHORIZATION_CHARS_MAX - 7)}`, 'x'.repeat(AUTHORIZATION_CHARS_MAX - 7)],
    [`Bearer ${'x'.repeat(AUTHORIZATION_CHARS_MAX - 6)}`, null],
  ]
  for (const [header, key] of cases) assert.equal(keyOf(header), key, String(header).slice(0, 40))
})

test('a session secret opens its own session only', () => {
  const secrets = sessionSecrets('cluster-key')
  const secret = secrets.secretOf('default', 's-1')
  assert.ok(secret.length >= 22)
  assert.equal(secrets.open('default', `s-1.${secret}`), 's-1')
  assert.equal(secrets.open('default', `s-2.${secret}`), null)
  assert.equal(secrets.open('other', `s-1.${secret}`), null)
  assert.equal(sessionSecrets('another-key').open('default', `s-1.${secret}`), null)
  for (const bad of ['', '.', 's-1', 's-1.', `.${secret}`, `s-1.${secret}x`, `s-1.${secret.slice(1)}`])
    assert.equal(secrets.open('default', bad), null, bad)
})

test('an id of SESSION_ID_CHARS_MAX characters is looked at, a longer one is none of ours', () => {
  const secrets = sessionSecrets('cluster-key')
  for (const [length, isOurs] of [
    [SESSION_ID_CHARS_MAX, true],
    [SESSION_ID_CHARS_MAX + 1, false],
  ] as const) {
    const id = 's'.repeat(length)
    assert.equal(secrets.open('default', `${id}.${secrets.secretOf('default', id)}`), isOurs ? id : null)
  }
})

test('a key file is made once, for its owner only, and its line break does not matter', () => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-auth-'))
  try {
    const path = join(directory, 'data', 'root.key')
    const key = readOrCreateKey(path, systemRandom)
    assert.ok(Buffer.from(key, 'base64url').length >= 16)
    assert.equal(statSync(path).mode & 0o777, 0o600)
    assert.equal(readOrCreateKey(path, systemRandom), key)
    writeFileSync(path, `${key}\r\n`)
    assert.equal(readOrCreateKey(path, systemRandom), key)
    writeFileSync(path, `${'k'.repeat(KEY_CHARS_MIN)}\n`)
    assert.equal(readOrCreateKey(path, systemRandom), 'k'.repeat(KEY_CHARS_MIN))
    writeFileSync(path, `${'k'.repeat(KEY_CHARS_MIN - 1)}\n`)
    assert.throws(() => readOrCreateKey(path, systemRandom), /fewer than 16/)
  } finally {
    rmSync(directory, { recursive: true })
  }
})
