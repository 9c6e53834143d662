import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AUDIT_CHANGED_BYTES_MAX } from '@holdfast/protocol/limits'
import type { Config, Entry, Freeze } from '../locks/model.ts'
import type { Deed, Put } from '../registry/port.ts'
import { keyWithin, kinds, noLimits, type PlanRecord } from '../registry/records.ts'
import { credentialRecord, instanceRecord, policyRecord } from '../registry/testing.ts'
import { changedBy, changedByEntry } from './changed.ts'

const deed = (action: string, target: string, instance: string | null = 'main'): Deed => ({
  by: 'root',
  from: '',
  action,
  instance,
  target,
  outcome: 'success',
  status: 200,
  reason: '',
  trace: '',
})
const changed = (one: Deed, ...writes: Put[]) => changedBy(one, { deeds: [one], writes })

const plan: PlanRecord = {
  id: 'gold',
  title: 'Gold',
  description: '',
  priceUsd: 3,
  perUnits: 1,
  minUnits: 1,
  stepUnits: 1,
  allowsOverrides: true,
  unit: { ...noLimits, sessions: 5 },
  state: 'offered',
}

const policy = policyRecord({
  id: 'p-1',
  instance: 'main',
  description: 'for the night',
  subjects: ['key:k-1'],
  roles: ['manager'],
  locks: ['orders/*'],
  conditions: { maxTtlMs: 60_000, hours: { fromMinute: 1_290, toMinute: 65 }, labels: { theTeam: 'a' } },
})

test('what a policy permitted is told, and that it was removed', () => {
  const id = keyWithin('main', 'p-1')
  assert.deepEqual(changed(deed('policy.write', 'policy/p-1'), { kind: 'policy', id, value: policy }), [
    {
      kind: 'policy',
      id: 'p-1',
      value: {
        description: 'for the night',
        subjects: ['key:k-1'],
        roles: ['manager'],
        locks: ['orders/*'],
        conditions: { max_ttl_ms: 60_000, labels: { theTeam: 'a' }, hours: { from: '21:30', to: '01:05' } },
      },
    },
  ])
  assert.deepEqual(changed(deed('policy.delete', 'policy/p-1'), { kind: 'policy', id, value: null }), [
    { kind: 'policy', id: 'p-1', is_removed: true },
  ])
})

test('of a key its rights and names are told, of a rotation both keys, and of a plan and an instance what they buy', () => {
  const old = credentialRecord({ id: 'k-1', instance: 'main', name: 'ci', roles: ['writer'], groups: ['group:night'] })
  const rotated = changed(
    deed('credential.rotate', 'credential/k-1'),
    { kind: 'credential', id: 'k-1', value: { ...old, expiresAtMs: 1_000, replacedBy: 'k-2' } },
    { kind: 'credential', id: 'k-2', value: { ...old, id: 'k-2' } },
  )
  const value = {
    name: 'ci',
    subject: 'key:k-1',
    groups: ['group:night'],
    roles: ['writer'],
    state: 'active',
    created_at: '1970-01-01T00:00:00.000Z',
    created_by: 'root',
  }
  assert.deepEqual(rotated, [
    { kind: 'credential', id: 'k-1', value: { ...value, expires_at: '1970-01-01T00:00:01.000Z', replaced_by: 'k-2' } },
    { kind: 'credential', id: 'k-2', value },
  ])
  const [bought] = changed(deed('plan.write', 'plan/gold', null), { kind: 'plan', id: 'gold', value: plan })
  assert.ok(bought && 'value' in bought)
  assert.deepEqual(bought.value, {
    title: 'Gold',
    description: '',
    price_usd: 3,
    per_units: 1,
    min_units: 1,
    step_units: 1,
    allows_overrides: true,
    unit: {
      operations_per_second: null,
      burst_operations: null,
      held_locks: null,
      sessions: 5,
      waiters: null,
      watches: null,
      stored_bytes: null,
    },
    state: 'offered',
  })
  const own = instanceRecord({ id: 'main', overrides: { sessions: null, watches: 7 } })
  const [given] = changed(deed('instance.update', 'instance/main'), { kind: 'instance', id: 'main', value: own })
  assert.ok(given && 'value' in given)
  assert.deepEqual(given.value.overrides, { sessions: 'unlimited', watches: 7 })
})

test('of several deeds in one link each tells what was done to its own target, and a denied one nothing', () => {
  const deeds = ['k-1', 'k-2'].map(id => deed('credential.delete', `credential/${id}`))
  const writes = ['k-1', 'k-2'].map((id): Put => ({ kind: 'credential', id, value: null }))
  assert.deepEqual(
    deeds.map(one => changedBy(one, { deeds, writes })),
    ['k-1', 'k-2'].map(id => [{ kind: 'credential', id, is_removed: true }]),
  )
  assert.deepEqual(changed({ ...deeds[0]!, outcome: 'denied' }, writes[0]!), [])
})

test('nothing of another instance is told, nor to those who run the service what keys and policies an instance had', () => {
  const mine: Put = { kind: 'policy', id: keyWithin('main', 'p-1'), value: policy }
  const others: Put[] = [
    { kind: 'policy', id: keyWithin('other', 'p-1'), value: { ...policy, instance: 'other' } },
    { kind: 'policy', id: keyWithin('other', 'p-9'), value: null },
    { kind: 'role', id: keyWithin('other', 'r-1'), value: null },
    { kind: 'role', id: keyWithin(null, 'r-2'), value: { id: 'r-2', instance: null, title: '', actions: [] } },
    { kind: 'credential', id: 'k-1', value: credentialRecord({ id: 'k-1', instance: 'other' }) },
    { kind: 'credential', id: 'k-2', value: null },
    { kind: 'instance', id: 'other', value: instanceRecord({ id: 'other' }) },
    { kind: 'plan', id: 'gold', value: plan },
  ]
  const told = changed(deed('policy.write', 'policy/p-1'), mine, ...others)
  assert.deepEqual(
    told.map(({ id }) => id),
    ['p-1'],
  )
  assert.deepEqual(changed(deed('credential.create', 'credential/k-1'), ...others), [])
  const gone: Put = { kind: 'instance', id: 'main', value: null }
  assert.deepEqual(changed(deed('instance.reclaim', 'instance/main'), mine, ...others, gone), [
    { kind: 'instance', id: 'main', is_removed: true },
  ])
})

/** In each field that is not told, and in fields that a later version may add. */
const SECRET = 'canary-7f3a'

test('no hash of a secret is told, and no field that nobody has named, of whatever kind', () => {
  const added = { secret: SECRET, apiKey: SECRET, privateKey: SECRET, added_later: { secret: SECRET } }
  const nested = { ...policy.conditions, ...added }
  const writes: Put[] = [
    {
      kind: 'instance',
      id: 'main',
      value: { ...instanceRecord({ id: 'main' }), overrides: { sessions: 1, ...added }, ...added },
    },
    {
      kind: 'reclaimed',
      id: 'main',
      value: { ...instanceRecord({ id: 'main', orderedAs: SECRET }), state: 'reclaimed', reclaimedAtMs: 1, ...added },
    },
    { kind: 'plan', id: 'gold', value: { ...plan, unit: { ...plan.unit, ...added }, ...added } },
    {
      kind: 'credential',
      id: 'k-1',
      value: { ...credentialRecord({ id: 'k-1', secretHash: SECRET, binding: SECRET }), ...added },
    },
    { kind: 'role', id: '.r-1', value: { id: 'r-1', instance: null, title: '', actions: [], ...added } },
    { kind: 'policy', id: 'main.p-1', value: { ...policy, conditions: nested, ...added } },
    { kind: 'signer', id: 's-1', value: { id: 's-1', n: SECRET, e: SECRET, createdAtMs: 1, endsAtMs: 2, ...added } },
  ]
  assert.deepEqual(writes.map(({ kind }) => kind).sort(), [...kinds].sort(), 'each kind')
  const told = changed(deed('anything', 'anything/at-all', null), ...writes)
  assert.deepEqual(
    told.map(one => 'value' in one && Object.keys(one.value).length > 0),
    writes.map(() => true),
  )
  assert.doesNotMatch(JSON.stringify(told), new RegExp(`${SECRET}|secret|added_later`))
  const entries = [
    { type: 'configured', record: 'config', lock: 'a', value: { ...config, ...added } },
    { type: 'frozen', record: 'freeze', prefix: 'a', value: { ...freeze, ...added } },
    {
      type: 'value_changed',
      record: 'value',
      lock: 'a',
      value: { lock: 'a', value: SECRET, token: 1, at: 1, version: 1 },
    },
  ] as const
  assert.doesNotMatch(JSON.stringify(entries.map(entry => changedByEntry(entry as Entry))), new RegExp(SECRET))
})

const config: Config = {
  lock: 'a',
  version: 1,
  description: 'nightly',
  defaultTtlMs: 5_000,
  maxHoldMs: null,
  lockDelayMs: null,
  preemption: 'graceful',
  graceMs: null,
  minHoldMs: null,
  limit: 3,
  queueMax: null,
  labels: { theTeam: 'a' },
  createdAt: 1,
  changedAt: 2,
}
const freeze: Freeze = { prefix: 'a', number: 1, untilAt: 60_000, reason: 'r', by: 'ann', at: 0 }

test('the log tells what a lock was configured to and until when names were frozen, and that both are over', () => {
  const value = {
    description: 'nightly',
    default_ttl_ms: 5_000,
    preemption: 'graceful',
    limit: 3,
    labels: { theTeam: 'a' },
  }
  for (const [entry, expected] of [
    [
      { type: 'configured', record: 'config', lock: 'a', value: config },
      { kind: 'lock', id: 'a', value },
    ],
    [
      { type: 'deleted', record: 'config', lock: 'a', value: null },
      { kind: 'lock', id: 'a', is_removed: true },
    ],
    [
      { type: 'frozen', record: 'freeze', prefix: 'a/', value: freeze },
      { kind: 'freeze', id: 'a/', value: { until: '1970-01-01T00:01:00.000Z' } },
    ],
    [
      { type: 'thawed', record: 'freeze', prefix: 'a/', value: null },
      { kind: 'freeze', id: 'a/', is_removed: true },
    ],
  ] as const)
    assert.deepEqual(changedByEntry(entry), [expected])
})

test('as much as AUDIT_CHANGED_BYTES_MAX is told of one deed; of what is beyond that is said that it was left out', () => {
  const role = (id: string, title: string): Put => ({
    kind: 'role',
    id: keyWithin('main', id),
    value: { id, instance: 'main', title, actions: [] },
  })
  const room = AUDIT_CHANGED_BYTES_MAX - JSON.stringify({ title: '', actions: [] }).length
  // Bytes count, not characters.
  const fits = 'é'.repeat(Math.floor(room / 2)) + 'x'.repeat(room % 2)
  const write = deed('role.write', 'role/r-1')
  const [whole] = changed(write, role('r-1', fits))
  assert.ok(whole && 'value' in whole)
  assert.equal(Buffer.byteLength(JSON.stringify(whole.value)), AUDIT_CHANGED_BYTES_MAX)
  const leftOut = { kind: 'role', id: 'r-1', is_left_out: true }
  assert.deepEqual(changed(write, role('r-1', `${fits}x`)), [leftOut])
  const several = changed(write, role('r-2', fits), role('r-1', ''), role('r-3', fits))
  assert.deepEqual(
    several.map(one => 'value' in one),
    [true, false, false],
    'all of it together',
  )
})
