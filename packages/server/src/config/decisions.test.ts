import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError, readConfig } from './config.ts'

const read = (args: string[], env: Record<string, string> = {}) => readConfig({ args, env })

test('proxies are trusted by their addresses, and a decision point is asked when its URL and key are both given', () => {
  const plain = read([])
  assert.deepEqual([plain.trustedProxies, plain.decisionPoint], [[], null])
  assert.deepEqual(read(['--trusted-proxies', '10.0.0.0/8, ::1']).trustedProxies, ['10.0.0.0/8', '::1'])
  assert.throws(() => read(['--trusted-proxies', '10.0.0.0/40']), ConfigError)
  const url = 'https://iam.example.org/v2/authz'
  const env = { HOLDFAST_PDP_API_KEY: 'canary-key' }
  assert.deepEqual(read(['--pdp-url', url], env).decisionPoint, {
    url,
    tokenUrl: 'https://iam.cloud.ibm.com/identity/token',
    apiKey: 'canary-key',
  })
  assert.throws(() => read(['--pdp-url', url]), ConfigError)
  assert.throws(() => read([], env), ConfigError)
  const unsafe = () => read(['--pdp-url', 'http://iam.example.org/v2/authz'], env)
  assert.throws(unsafe, error => error instanceof ConfigError && !error.message.includes('canary'))
  assert.ok(
    read(['--pdp-url', 'http://127.0.0.1:7/v2/authz', '--pdp-token-url', 'http://localhost:7/t'], env).decisionPoint,
  )
})
