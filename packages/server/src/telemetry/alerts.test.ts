/** The rules that operators load into Prometheus: they speak of metrics that there are, see the first time something happens, and are those of the page. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { CONNECTIONS_MAX } from '@holdfast/protocol/limits'
import { withServer } from '../testing.ts'
import { createTelemetry } from './telemetry.ts'

const docs = new URL('../../../../docs/', import.meta.url)
const rules = readFileSync(new URL('alerts.yml', docs), 'utf8')
const page = readFileSync(new URL('operations.md', docs), 'utf8')
const config = { logLevel: 'silent', logsRequests: false, serviceName: 's', location: 'l', serverName: 'n' } as const

/** By its name, the expression of each alert. */
const alerts = new Map(
  [...rules.matchAll(/^ +- alert: (\w+).*\n +expr: (.*)$/gm)].map(([, name = '', expression = '']) => [
    name,
    expression,
  ]),
)

/** By name, its type. */
async function exposed(): Promise<Map<string, string>> {
  const telemetry = createTelemetry(config, () => null)
  const text = await telemetry.exposition()
  telemetry.close()
  return new Map([...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name = '', type = '']) => [name, type]))
}

const named = (text: string) => [...new Set(text.match(/\b(holdfast|process)_[a-z_]+|\bup\b/g))].sort()
const isOurs = (name: string) => name !== 'up'
/** A histogram is asked by its parts. */
const whole = (name: string) => name.replace(/_(bucket|sum|count)$/, '')

test('each metric that an alert or the page of operations speaks of is there', async () => {
  const known = await exposed()
  assert.equal(alerts.size, rules.match(/- alert:/g)?.length)
  for (const [alert, expression] of alerts)
    for (const name of named(expression).filter(isOurs)) assert.ok(known.has(whole(name)), `${name} of ${alert}`)
  const watched = page.slice(page.indexOf('## What to watch'), page.indexOf('## Limits'))
  for (const name of named(watched).filter(isOurs)) assert.ok(known.has(name), `${name} of docs/operations.md`)
})

test('the table of the page is the rules: each row has its own, or says why it cannot', () => {
  const rows = [...page.matchAll(/^\| (`(?:holdfast|process)_.*?|`up`.*?) \| (.*?) \| (.*?) \|/gm)]
  const ruled = new Map<string, string[]>()
  for (const [row, metrics = '', , rule = ''] of rows) {
    const alert = /^`(\w+)`$/.exec(rule)?.[1]
    if (alert === undefined) assert.match(rule, /^– : \w+/, row)
    else {
      assert.ok(!ruled.has(alert), row)
      ruled.set(alert, named(metrics))
    }
  }
  const looked = new Map([...alerts].map(([alert, expression]) => [alert, named(expression).map(whole).sort()]))
  assert.deepEqual(Object.fromEntries(ruled), Object.fromEntries(looked))
  // What is a share of a limit of ours follows it.
  assert.match(alerts.get('HoldfastConnectionsMany') ?? '', new RegExp(`> ${CONNECTIONS_MAX * 0.8}$`))
})

test('whatever an alert looks for has its series before it first happens: PromQL does not take absence for 0', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-alerts-'))
  try {
    await withServer(
      async server => {
        const { text } = await server.ask('GET', '/metrics')
        const series = text.split('\n')
        const has = (name: string, label: string) =>
          series.some(line => line.startsWith(name) && /^[{ ]/.test(line.slice(name.length)) && line.includes(label))
        for (const [alert, expression] of alerts) {
          for (const name of named(expression).filter(isOurs)) assert.ok(has(name, ''), `${name} of ${alert}`)
          for (const [, name = '', label = '', values = ''] of expression.matchAll(/(\w+)\{(\w+)=~?"([^"]*)"\}/g))
            if (label !== 'job')
              for (const value of values.split('|'))
                assert.ok(has(name, `${label}="${value}"`), `${name} by ${label} ${value} of ${alert}`)
        }
        assert.match(text, /^holdfast_ready 1$/m)
        assert.match(text, /^holdfast_shards 3$/m)
        assert.match(text, /^holdfast_audit_missed_batches_total\{sink="file:.*"\} 0$/m)
      },
      { engine: 'lmdb', args: ['--audit-sink', `file:${join(folder, 'trail')}`, '--shards', '3'] },
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a server says in its metrics what /readyz says, and which shards it serves', async () => {
  let isReady = true
  const shard = { locks: 0, grants: 0, sessions: 0, waiters: 0, logBytes: 0, seq: 7 }
  const health = () => ({ isReady, shardsTotal: 2, served: isReady ? [{ ...shard, shard: 1 }] : [] })
  const telemetry = createTelemetry(config, health)
  const shown = async () => (await telemetry.exposition()).match(/^holdfast_(ready|shards|log_sequence)\b.*$/gm)
  assert.deepEqual(await shown(), ['holdfast_ready 1', 'holdfast_shards 2', 'holdfast_log_sequence{shard="1"} 7'])
  isReady = false
  assert.deepEqual(await shown(), ['holdfast_ready 0', 'holdfast_shards 2'])
  telemetry.close()
})

test('each alert says what it is and what to do', () => {
  for (const alert of rules.split(/^ +- alert: /m).slice(1))
    for (const part of [/^Holdfast[A-Z]\w+/, /expr: /, /severity: (critical|warning|info)/, /summary: "/, /action: "/])
      assert.match(alert, part)
})

test('counters and only counters end in `_total`, and units are those of Prometheus', async () => {
  for (const [name, type] of await exposed()) {
    assert.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`)
    assert.doesNotMatch(name, /_(ms|milliseconds|kib|mib)(_|$)/, name)
  }
})
