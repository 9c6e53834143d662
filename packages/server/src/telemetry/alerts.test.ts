/** The rules that operators load into Prometheus speak of metrics that there are, and these have names as Prometheus wants them. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { createTelemetry } from './telemetry.ts'

const docs = new URL('../../../../docs/', import.meta.url)
const rules = readFileSync(new URL('alerts.yml', docs), 'utf8')
const page = readFileSync(new URL('operations.md', docs), 'utf8')
const config = { logLevel: 'silent', logsRequests: false, serviceName: 's', location: 'l', serverName: 'n' } as const

/** By name, its type. */
async function exposed(): Promise<Map<string, string>> {
  const telemetry = createTelemetry(config, () => [])
  const text = await telemetry.exposition()
  telemetry.close()
  return new Map([...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name = '', type = '']) => [name, type]))
}

const named = (text: string) => [...new Set(text.match(/\bholdfast_[a-z_]+/g))]

test('each metric that an alert or the page of operations speaks of is there', async () => {
  const known = await exposed()
  const expressions = rules.match(/^ +expr: .*$/gm) ?? []
  assert.ok(expressions.length >= 10)
  for (const name of named(expressions.join('\n')))
    assert.ok(known.has(name.replace(/_(bucket|sum|count)$/, '')), `${name} of docs/alerts.yml`)
  const table = page.slice(page.indexOf('## What to watch'), page.indexOf('## Limits'))
  for (const name of named(table)) assert.ok(known.has(name), `${name} of docs/operations.md`)
})

test('each alert says what it is and what to do', () => {
  const alerts = rules.split(/^ +- alert: /m).slice(1)
  for (const alert of alerts)
    for (const part of [/^Holdfast[A-Z]\w+/, /expr: /, /severity: (critical|warning|info)/, /summary: "/, /action: "/])
      assert.match(alert, part)
})

test('counters and only counters end in `_total`, and units are those of Prometheus', async () => {
  for (const [name, type] of await exposed()) {
    assert.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`)
    assert.doesNotMatch(name, /_(ms|milliseconds|kib|mib)(_|$)/, name)
  }
})
