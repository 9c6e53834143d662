/** What a unit buys, what it costs, and what an instance is metered by. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { toSnake } from '@holdfast/protocol/casing'
import type { PlanRecord } from '../registry/records.ts'
import { instanceRecord, memoryRegistry } from '../registry/testing.ts'
import { capacityUnit, defaultPlans, limitsOf, planOf } from './plans.ts'
import { registryTerms } from './terms.ts'
import { costUsd, HOUR_MS, metered, meteredUnits, unitHours } from './unit-hours.ts'

const plans = (id: string): PlanRecord | null => defaultPlans.find(plan => plan.id === id) ?? null
const standard = plans('standard')!
const premium = plans('premium')!

test('the limits of an instance are what its units buy; overrides count where the plan allows them', () => {
  const record = instanceRecord({ id: 'a', capacityUnits: 20, overrides: { sessions: 7, watches: null } })
  const bought = limitsOf(record, standard)
  for (const [name, one] of Object.entries(capacityUnit)) assert.equal(bought[name as keyof typeof bought], one! * 20)
  assert.deepEqual(limitsOf(record, premium), { ...bought, sessions: 7, watches: null })
  assert.ok(Object.values(limitsOf(record, plans('unmetered')!)).includes(null))
  const vast = { ...standard, unit: { ...capacityUnit, sessions: Number.MAX_SAFE_INTEGER } }
  assert.equal(limitsOf(record, vast).sessions, Number.MAX_SAFE_INTEGER, 'what the wire can say')
})

test('docs/access/plans.md shows what a unit buys, and the prices', () => {
  const page = readFileSync(new URL('../../../../docs/access/plans.md', import.meta.url), 'utf8')
  const wire = toSnake(capacityUnit) as Record<string, number>
  const shown = (value: number) => value.toLocaleString('en-US')
  for (const [name, one] of Object.entries(wire))
    assert.ok(
      page.includes(`| \`${name}\` | ${shown(one)} | ${shown(10 * one)} |`),
      `${name} is not as it is in the table`,
    )
  for (const { id, priceUsd, perUnits } of [standard, premium])
    assert.ok(page.includes(`| \`${id}\` | $${priceUsd.toFixed(2)} an hour for each ${perUnits} units |`), id)
})

test('metered is at least the minimum, in whole steps on standard and to the unit on premium', () => {
  const rows = [
    [0, 0, 0],
    [1, 10, 1],
    [10, 10, 10],
    [11, 20, 11],
    [100, 100, 100],
  ] as const
  for (const [units, onStandard, onPremium] of rows) {
    assert.equal(meteredUnits(standard, units), onStandard)
    assert.equal(meteredUnits(premium, units), onPremium)
  }
})

test('the published samples come out: 10 units about $72 a month, 100 units about $720', () => {
  const month = { fromMs: 0, toMs: 720 * HOUR_MS }
  const costOf = (plan: string, capacityUnits: number) => {
    const record = instanceRecord({ id: 'a', history: [{ plan, capacityUnits, fromMs: 0 }] })
    return Number(costUsd(metered(record, plans, month), plans).toFixed(6))
  }
  assert.equal(costOf('standard', 10), 72)
  assert.equal(costOf('standard', 100), 720)
  assert.equal(costOf('premium', 10), 144)
  assert.equal(costOf('premium', 1), 14.4)
  assert.equal(costOf('unmetered', 1), 0)
})

test('a span that is cut anywhere has the same units as its pieces together, over resizes, plans and deletion', () => {
  const history = [
    { plan: 'standard', capacityUnits: 10, fromMs: 1_234_567 },
    { plan: 'standard', capacityUnits: 30, fromMs: 5 * HOUR_MS },
    { plan: 'premium', capacityUnits: 7, fromMs: 7 * HOUR_MS + 1 },
  ]
  const deletedAtMs = 12 * HOUR_MS + 77
  const record = instanceRecord({ id: 'a', history })
  const deleted = { history: [...history, { plan: 'premium', capacityUnits: 0, fromMs: deletedAtMs }] }
  const whole = metered(deleted, plans, { fromMs: 0, toMs: 24 * HOUR_MS })
  assert.deepEqual(whole, [
    { plan: 'standard', unitMs: 10 * (5 * HOUR_MS - 1_234_567) + 30 * (2 * HOUR_MS + 1) },
    { plan: 'premium', unitMs: 7 * (deletedAtMs - 7 * HOUR_MS - 1) },
  ])
  const sums = new Map<string, number>()
  for (let hour = 0; hour < 24; hour++)
    for (const { plan, unitMs } of metered(deleted, plans, { fromMs: hour * HOUR_MS, toMs: (hour + 1) * HOUR_MS }))
      sums.set(plan, (sums.get(plan) ?? 0) + unitMs)
  assert.deepEqual(
    [...sums],
    whole.map(({ plan, unitMs }) => [plan, unitMs]),
  )
  assert.equal(unitHours(metered(record, plans, { fromMs: 20 * HOUR_MS, toMs: 21 * HOUR_MS })), 7)
})

test('a new plan or size counts from the next command on, a disabled instance can do nothing, a stranger is unknown', () => {
  const registry = memoryRegistry({ kind: 'instance', id: 'a', value: instanceRecord({ id: 'a', capacityUnits: 10 }) })
  const termsOf = registryTerms(registry)
  const rateOf = () => {
    const terms = termsOf('a')
    assert.ok(terms !== null && terms !== 'unknown')
    return [terms.isEnabled, terms.operationsPerSecond]
  }
  assert.deepEqual(rateOf(), [true, 1_000])
  registry.put({ kind: 'instance', id: 'a', value: instanceRecord({ id: 'a', capacityUnits: 20 }) })
  assert.deepEqual(rateOf(), [true, 2_000])
  registry.put({
    kind: 'plan',
    id: 'standard',
    value: { ...standard, unit: { ...capacityUnit, operationsPerSecond: 5 } },
  })
  assert.deepEqual(rateOf(), [true, 100])
  for (const state of ['disabled', 'pending_reclamation'] as const) {
    registry.put({ kind: 'instance', id: 'a', value: instanceRecord({ id: 'a', state }) })
    assert.equal(rateOf()[0], false)
  }
  registry.put({ kind: 'instance', id: 'a', value: instanceRecord({ id: 'a', plan: 'unmetered' }) })
  assert.equal(termsOf('a'), null)
  assert.equal(termsOf('default'), null)
  assert.equal(termsOf('stranger'), 'unknown')
  registry.put({ kind: 'instance', id: 'stranger', value: instanceRecord({ id: 'stranger', plan: 'unmetered' }) })
  assert.equal(termsOf('stranger'), null)
  registry.put({ kind: 'instance', id: 'stranger', value: null })
  assert.equal(termsOf('stranger'), 'unknown')
  assert.equal(planOf(registry, 'nothing'), null)
})
