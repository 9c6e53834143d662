import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTelemetry } from './telemetry.ts'

const config = { logLevel: 'debug', logsRequests: true, serviceName: 's', location: 'l', serverName: 'n' } as const
function collector() {
  let written = ''
  const write = (text: string) => {
    written += text
  }
  return { collect: { write }, text: () => written }
}

const line = { trace: 't', method: 'GET', route: '/x', status: 200, ms: 1 }

test('secrets are not in the log, whatever happening they come with', () => {
  const { collect, text } = collector()
  const telemetry = createTelemetry(config, () => null, collect)
  telemetry.happened('x', {
    authorization: 'SECRET',
    lock_id: 'SECRET',
    session: 's-1.SECRET',
    body: { a: 'SECRET' },
    headers: { authorization: 'SECRET', 'holdfast-session': 'SECRET' },
  })
  telemetry.requestDone(line)
  assert.ok(!text().includes('SECRET'), text())
  assert.ok(text().includes('"trace":"t"'))
  telemetry.close()
})

test('nothing fails because it was counted or logged', () => {
  const telemetry = createTelemetry(config, () => null, {
    write: () => {
      throw new Error('the disk is full')
    },
  })
  assert.doesNotThrow(() => {
    telemetry.happened('x')
    telemetry.requestDone(line)
    telemetry.failed('t', new Error('x'))
    telemetry.fatal('x', 'not an error')
    telemetry.shards.alarm({ what: 'x', error: null })
  })
  telemetry.close()
})

test('the cause of an error is logged under the request id', () => {
  const { collect, text } = collector()
  const telemetry = createTelemetry(config, () => null, collect)
  telemetry.failed('trace-7', new Error('the cause'))
  const entry = JSON.parse(text())
  assert.deepEqual([entry.trace, entry.err.message], ['trace-7', 'the cause'])
  telemetry.close()
})

test('a token above all that were given out is counted each time, and logged as often as their number has doubled', async () => {
  const { collect, text } = collector()
  const telemetry = createTelemetry(config, () => null, collect)
  const report = { type: 'unissued_token', lock: 'accounts/a', token: 9 } as const
  for (let time = 0; time < 1_000; time++) telemetry.shards.report({ instance: 'team', report })
  const lines = text().trim().split('\n')
  assert.equal(lines.length, 10)
  const { report: type, instance, lock, token } = JSON.parse(lines[0]!)
  assert.deepEqual([type, instance, lock, token], ['unissued_token', 'team', 'accounts/a', 9])
  assert.match(await telemetry.exposition(), /^holdfast_unissued_tokens_total 1000$/m)
  telemetry.close()
})

test('an order of locks that contradicts an earlier one is counted, and logged with both names', async () => {
  const { collect, text } = collector()
  const telemetry = createTelemetry(config, () => null, collect)
  const report = { type: 'lock_order', first: 'accounts/b', second: 'accounts/a', session: 's-1' } as const
  telemetry.shards.report({ instance: 'team', report })
  const { report: type, instance, first, second, session } = JSON.parse(text())
  assert.deepEqual(
    [type, instance, first, second, session],
    ['lock_order', 'team', 'accounts/b', 'accounts/a', undefined],
  )
  assert.match(await telemetry.exposition(), /^holdfast_lock_order_inversions_total 1$/m)
  telemetry.close()
})
