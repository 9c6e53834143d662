import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../clock.ts'
import { runCommand } from './command.ts'

const secrets = [
  'HOLDFAST_ROOT_KEY',
  'HOLDFAST_API_KEY',
  'HOLDFAST_IAM_API_KEY',
  'HOLDFAST_ETCD_PASSWORD',
  'HOLDFAST_PDP_API_KEY',
  'HOLDFAST_AUDIT_WEBHOOK_SECRET',
]

test('a command that keeps a key is not told our other secrets', async () => {
  const before = { ...process.env }
  for (const name of secrets) process.env[name] = `canary of ${name}`
  process.env.HOLDFAST_URL = 'http://here.test'
  try {
    const printed = await runCommand({
      what: 'key',
      command: 'env',
      input: '',
      environment: { OWN: '1' },
      clock: systemClock,
    })
    assert.ok(!printed.includes('canary'), printed)
    assert.match(printed, /^HOLDFAST_URL=http:\/\/here\.test$/m)
    assert.match(printed, /^OWN=1$/m)
  } finally {
    process.env = before
  }
})
