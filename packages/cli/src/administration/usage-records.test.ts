import assert from 'node:assert/strict'
import { test } from 'node:test'
import { recordsOf, type Usage } from './usage-records.ts'

test('each hour that is over is billed on the plans that it was provided on, whatever the plan is by now', () => {
  const hour = (start: string, end: string) => ({ start, end, costUsd: 0, operations: {} })
  const parts = [
    { planId: 'id-of-standard', capacityUnitHours: 5 },
    { planId: 'id-of-premium', capacityUnitHours: 20 },
  ]
  const usage: Usage = {
    instance: 'i-1',
    crn: 'crn:i-1',
    plan: 'premium',
    planId: 'id-of-premium',
    region: 'local',
    usage: [
      { ...hour('2026-01-01T00:00:00.000Z', '2026-01-01T01:00:00.000Z'), capacityUnitHours: 25, byPlan: parts },
      { ...hour('2026-01-01T01:00:00.000Z', '2026-01-01T02:00:00.000Z'), capacityUnitHours: 0, byPlan: [] },
      // From a service that does not say it by plan.
      { ...hour('2026-01-01T02:00:00.000Z', '2026-01-01T03:00:00.000Z'), capacityUnitHours: 7 },
      { ...hour('2026-01-01T03:00:00.000Z', '2026-01-01T03:30:00.000Z'), capacityUnitHours: 3, byPlan: parts },
    ],
    month: { start: '2026-01-01T00:00:00.000Z', capacityUnitHours: 35, costUsd: 0, forecastUsd: 0 },
  }
  const record = (hourOfDay: number, plan_id: string, quantity: number) => ({
    resource_instance_id: 'crn:i-1',
    plan_id,
    region: 'local',
    start: Date.UTC(2026, 0, 1, hourOfDay),
    end: Date.UTC(2026, 0, 1, hourOfDay + 1),
    measured_usage: [{ measure: 'CAPACITY_UNIT_HOURS', quantity }],
  })
  assert.deepEqual(recordsOf(usage), [
    record(0, 'id-of-standard', 5),
    record(0, 'id-of-premium', 20),
    record(2, 'id-of-premium', 7),
  ])
})
