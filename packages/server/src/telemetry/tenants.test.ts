import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { INSTANCES_MAX } from '@holdfast/protocol/limits'
import { noLimits } from '../registry/records.ts'
import { instanceRecord } from '../registry/testing.ts'
import { PREFIX, TenantFigures, tenantExposition, tenantMetrics } from './tenants.ts'

const page = readFileSync(new URL('../../../../docs/access/metrics.md', import.meta.url), 'utf8')

test('the page on them lists the metrics of an instance, each with its type, what it is segmented by and what it is', () => {
  const rows = [...page.matchAll(/^\| `(\w+)` \| (\w+) \| \w+ \| (\S+) \| (.*) \|$/gm)].map(row => row.slice(1))
  const segment = (name: string | null, type: string) => name ?? (type === 'histogram' ? 'le' : null)
  const known = tenantMetrics.map(({ name, type, segment: by, help }) => {
    const label = segment(by, type)
    return [`${PREFIX}_${name}`, type, label === null ? '–' : `\`${label}\``, help]
  })
  assert.deepEqual(rows, known)
})

test('what people have named is escaped, and what has no limit or has not happened has no series', () => {
  const record = instanceRecord({ id: 'i', name: 'a "name" with \\ and \n' })
  const limits = { ...noLimits, heldLocks: 7 }
  const figures = new TenantFigures()
  const tenants = [{ record, limits, counts: null, figures }]
  const shown = (hasDetails: boolean) => [...tenantExposition(tenants, { serviceName: 's', hasDetails })].join('')
  const text = shown(true)
  assert.ok(text.includes('ibm_service_instance_name="a \\"name\\" with \\\\ and \\n"'), text)
  const limited = text.split('\n').filter(line => line.startsWith(`${PREFIX}_limit{`))
  assert.deepEqual(
    limited.map(line => /of="(\w+)"\} (\d+)/.exec(line)?.slice(1)),
    [['held_locks', '7']],
  )
  assert.ok(!text.includes(`${PREFIX}_grants{`), 'another server has these')
  assert.ok(text.includes(`${PREFIX}_wait_seconds_bucket{`))
  assert.doesNotMatch(shown(false), /_limit\{|_seconds_/, 'of many only what is one line or two each')
  for (const line of text.trimEnd().split('\n')) assert.match(line, /^(# (HELP|TYPE) \w+ .+|\w+\{.*\} [0-9.e+-]+)$/)
})

test('ten thousand instances are told of in small pieces, each metric in one go', () => {
  const figures = new TenantFigures()
  figures.acquires.set('granted', 1)
  const one = { limits: noLimits, counts: null, figures }
  const tenants = Array.from({ length: INSTANCES_MAX }, (_, index) => ({
    ...one,
    record: instanceRecord({ id: `i-${index}`, name: 'n'.repeat(100) }),
  }))
  const pieces = [...tenantExposition(tenants, { serviceName: 's', hasDetails: false })]
  assert.ok(Math.max(...pieces.map(({ length }) => length)) < 2 ** 17)
  const names = pieces.flatMap(piece => [...piece.matchAll(/^(\w+)\{/gm)].map(([, name]) => name))
  assert.equal(names.length, INSTANCES_MAX)
  assert.deepEqual([...new Set(names)], [`${PREFIX}_acquires_total`])
})

test('a histogram counts each value in its bucket and in all above', () => {
  const { waits } = new TenantFigures()
  for (const seconds of [0, 0.001, 0.0011, 3, 1e9]) waits.observe(seconds)
  const series = waits.series()
  const below = (le: number | string) => series.find(({ labels }) => labels.le === le)?.value
  assert.deepEqual([below(0.001), below(0.005), below(2), below(10), below(3600), below('+Inf')], [2, 3, 3, 4, 4, 5])
  assert.deepEqual(series.at(-1), { suffix: '_count', labels: {}, value: 5 })
})
