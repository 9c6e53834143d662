import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError, readConfig } from './config.ts'

const read = (...args: string[]) => readConfig({ args, env: {} }).encryption

test('the key of the store comes from a file, a command or a KMS, and from one of them only', () => {
  assert.equal(read(), null)
  assert.deepEqual(read('--encryption-key-file', 'kek'), { type: 'file', path: 'kek' })
  assert.deepEqual(read('--encryption-key-command', 'pass kek'), { type: 'command', command: 'pass kek' })
  assert.deepEqual(read('--encryption-kms-command', 'kms'), { type: 'kms', command: 'kms' })
  assert.throws(() => read('--encryption-key-file', 'kek', '--encryption-kms-command', 'kms'), ConfigError)
})

test('beyond loopback a server without TLS does not start, unless it is told that this is meant', () => {
  assert.throws(() => readConfig({ args: ['--listen', '0.0.0.0:7420'], env: {} }), /needs TLS: give --tls-cert/)
  assert.throws(() => readConfig({ args: ['--listen', '[::]:7420'], env: {} }), ConfigError)
  readConfig({ args: ['--listen', '0.0.0.0:7420', '--insecure-listen'], env: {} })
  readConfig({ args: ['--listen', '0.0.0.0:7420', '--tls-cert', 'a', '--tls-key', 'b'], env: {} })
})
