import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  CAPACITY_UNITS_MAX,
  CREDENTIALS_MAX,
  INSTANCES_MAX,
  OVERLAP_MS_MAX,
  PLANS_MAX,
  POLICIES_MAX,
  RECLAIM_MS,
  ROLES_MAX,
} from '@holdfast/protocol/limits'
import { parseKey } from '../auth/api-keys.ts'
import { openMemory } from '../engine/memory/memory.ts'
import type { Random } from '../random.ts'
import type { Put } from '../registry/port.ts'
import { type InstanceRecord, noLimits, type PlanRecord } from '../registry/records.ts'
import { openRegistry } from '../registry/registry.ts'
import { instanceRecord } from '../registry/testing.ts'
import { FakeClock } from '../shards/testing.ts'
import type { AdministrationOptions, By } from './administration.ts'
import { createCredential, deleteCredential, revokeCredential, rotateCredential } from './credentials.ts'
import { createInstance, updateInstance } from './instances.ts'
import {
  deleteInstance,
  disableInstance,
  dueForReclamation,
  enableInstance,
  reclaimInstance,
  restoreInstance,
} from './lifecycle.ts'
import { deletePolicy, deleteRole, putPlan, putPolicy, putRole } from './permissions.ts'

const asService = (id: string) => ({ id, side: 'service' as const })
const by: By = { subject: 'root', from: '127.0.0.1', trace: 't-1' }
const plan = (id: string, more: Partial<PlanRecord> = {}): PlanRecord => ({
  id,
  title: id,
  description: '',
  priceUsd: 0.1,
  perUnits: 10,
  minUnits: 10,
  stepUnits: 10,
  allowsOverrides: false,
  unit: noLimits,
  state: 'offered',
  ...more,
})

/** Counts, so that no two draws are the same. */
function counting(): Random {
  let drawn = 0
  return {
    bytes(count) {
      const bytes = Buffer.alloc(count)
      bytes.writeUInt32BE(++drawn, Math.max(0, count - 4))
      return bytes
    },
  }
}

async function started() {
  const clock = new FakeClock()
  const registry = await openRegistry({
    engine: openMemory(),
    clock,
    root: 'holdfast',
    server: 'one',
    alarm: what => assert.fail(what),
    fatal: error => assert.fail(error),
  })
  const options: AdministrationOptions = {
    registry,
    clock,
    random: counting(),
    serviceName: 'go-etcd-lock',
    region: 'local',
  }
  await putPlan(options, by, plan('standard'))
  await putPlan(options, by, plan('premium', { minUnits: 1, stepUnits: 1, allowsOverrides: true }))
  await putPlan(options, by, plan('old', { state: 'retired' }))
  /** More than could be made one by one. */
  const fill = async (puts: readonly Put[]) => {
    const deed = {
      by: '',
      from: '',
      action: '',
      instance: null,
      target: '',
      outcome: 'success',
      status: 200,
      reason: '',
      trace: '',
    } as const
    for (let index = 0; index < puts.length; index += 100)
      await registry.change(deed, () => puts.slice(index, index + 100))
  }
  return { clock, registry, options, fill }
}

const refused = (field: RegExp) => (error: unknown) =>
  field.test(JSON.stringify({ ...(error as object), message: String(error) }))

test('an instance has a CRN, units of its plan, and a history that it is metered by', async () => {
  const { clock, options } = await started()
  const made = await createInstance(options, by, { name: 'payments', plan: 'standard' })
  assert.match(made.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.equal(made.crn, `crn:v1:bluemix:public:go-etcd-lock:local:a/holdfast:${made.id}::`)
  assert.match(made.crn, /^crn:v[0-9](:([A-Za-z0-9-._~!$&'()*+,;=@/]|%[0-9A-Z]{2})*){8}$/)
  assert.deepEqual([made.capacityUnits, made.state], [10, 'active'])
  clock.pause(60_000)
  const renamed = await updateInstance(options, by, made.id, { name: 'pay' })
  assert.equal(renamed.history.length, 1, 'a name is not metered')
  const resized = await updateInstance(options, by, made.id, { capacityUnits: 30 })
  const moved = await updateInstance(options, by, made.id, { plan: 'premium', capacityUnits: 7 })
  assert.deepEqual(
    moved.history.map(({ plan: id, capacityUnits }) => `${id} ${capacityUnits}`),
    ['standard 10', 'standard 30', 'premium 7'],
  )
  assert.equal(resized.name, 'pay')
})

test('who asks for a name that is unique in the account gets it or is refused; one that can be restored is one of them', async () => {
  const { options, registry } = await started()
  const fields = { name: 'payments', plan: 'standard', uniqueName: true }
  const again = () => createInstance(options, by, fields)
  const made = await Promise.allSettled([again(), again(), again()])
  assert.deepEqual(made.map(({ status }) => status).sort(), ['fulfilled', 'rejected', 'rejected'], 'at one moment')
  const [{ id = '' } = {}] = [...registry.all('instance')]
  await assert.rejects(again(), refused(new RegExp(`already_exists.*${id}`)))
  await deleteInstance(options, by, asService(id))
  await assert.rejects(again(), refused(/already_exists.*restored/))
  await createInstance(options, by, { ...fields, account: 'another' })
  await createInstance(options, by, { ...fields, uniqueName: false })
  await reclaimInstance(options, by, { ...asService(id), forget: async () => undefined })
  assert.equal([...registry.all('instance')].length, 2)
})

test('units below, between and beyond the steps of the plan are refused, with what was expected', async () => {
  const { options } = await started()
  for (const units of [1, 9, 11, 25, CAPACITY_UNITS_MAX + 10])
    await assert.rejects(
      createInstance(options, by, { name: 'x', plan: 'standard', capacityUnits: units }),
      refused(/10 to .*steps of 10/),
    )
  for (const units of [10, 20, CAPACITY_UNITS_MAX])
    assert.equal(
      (await createInstance(options, by, { name: `x-${units}`, plan: 'standard', capacityUnits: units })).capacityUnits,
      units,
    )
  await assert.rejects(
    createInstance(options, by, { name: 'x', plan: 'old' }),
    refused(/on offer; there are: `premium`, `standard`/),
  )
  await assert.rejects(
    createInstance(options, by, { name: 'x', plan: 'standard', overrides: { sessions: 5 } }),
    refused(/capacity units instead/),
  )
  const premium = await createInstance(options, by, { name: 'x', plan: 'premium', overrides: { sessions: 5 } })
  assert.deepEqual(premium.overrides, { sessions: 5 })
})

test('disabled and enabled; deleted and restored; gone for good after a week, with all that was its own', async () => {
  const { clock, options, registry } = await started()
  const { id } = await createInstance(options, by, { name: 'x', plan: 'standard' })
  assert.equal((await disableInstance(options, by, asService(id))).state, 'disabled')
  assert.equal((await enableInstance(options, by, asService(id))).state, 'active')
  const deleted = await deleteInstance(options, by, asService(id))
  assert.deepEqual([deleted.state, deleted.reclaimAtMs], ['pending_reclamation', clock.wallMs() + RECLAIM_MS])
  await assert.rejects(enableInstance(options, by, asService(id)), refused(/restore/))
  const restored = await restoreInstance(options, by, asService(id))
  assert.equal(restored.state, 'active')
  assert.deepEqual(
    restored.history.map(({ capacityUnits }) => capacityUnits),
    [10, 0, 10],
    'it is not metered while it is deleted',
  )
  await assert.rejects(
    reclaimInstance(options, by, { ...asService(id), forget: async () => assert.fail() }),
    refused(/deleted first/),
  )
  await createCredential(options, by, { instance: id, fields: { name: 'k', roles: [], groups: [], expiresAtMs: null } })
  await putRole(options, by, { instance: id, id: 'r', title: 'r', actions: ['lock.read'] })
  await putPolicy(options, by, {
    instance: id,
    fields: { description: '', subjects: ['*'], roles: ['r'], locks: ['*'], conditions: {} },
  })
  await deleteInstance(options, by, asService(id))
  clock.pause(RECLAIM_MS - 1)
  assert.deepEqual(dueForReclamation(options), [])
  clock.pause(1)
  assert.deepEqual(
    dueForReclamation(options).map(due => due.id),
    [id],
  )
  const forgotten: string[] = []
  await reclaimInstance(options, by, { ...asService(id), forget: async instance => void forgotten.push(instance) })
  assert.deepEqual(forgotten, [id])
  for (const kind of ['instance', 'credential', 'role', 'policy'] as const)
    assert.deepEqual([...registry.all(kind)], [], kind)
})

test('whoever closed an instance opens it: what the service has disabled or deleted its own people neither open nor let go', async () => {
  const { options, registry } = await started()
  const { id } = await createInstance(options, by, { name: 'x', plan: 'standard' })
  const service = asService(id)
  const own = { id, side: 'instance' as const }
  const forget = async () => assert.fail('nothing of it may be ended')
  const state = () => registry.get('instance', id)?.state
  await disableInstance(options, by, own)
  await enableInstance(options, by, own)
  await disableInstance(options, by, own)
  await enableInstance(options, by, service)
  assert.equal(state(), 'active', 'what its own people have closed both open')
  await disableInstance(options, by, own)
  await disableInstance(options, by, service)
  await disableInstance(options, by, own)
  await assert.rejects(enableInstance(options, by, own), refused(/forbidden.*instance_disabled/))
  await assert.rejects(deleteInstance(options, by, own), refused(/forbidden.*instance_disabled/))
  assert.equal(state(), 'disabled')
  await deleteInstance(options, by, service)
  await deleteInstance(options, by, own)
  await assert.rejects(restoreInstance(options, by, own), refused(/forbidden.*instance_deleted/))
  await assert.rejects(reclaimInstance(options, by, { ...own, forget }), refused(/forbidden.*instance_deleted/))
  assert.equal((await restoreInstance(options, by, service)).state, 'disabled', 'as it was before')
  await assert.rejects(enableInstance(options, by, own), refused(/forbidden/))
  await enableInstance(options, by, service)
  await deleteInstance(options, by, own)
  assert.equal((await restoreInstance(options, by, own)).state, 'active')
  await deleteInstance(options, by, own)
  await assert.rejects(disableInstance(options, by, own), refused(/has been deleted/))
  assert.equal((await disableInstance(options, by, service)).state, 'pending_reclamation')
  assert.equal((await restoreInstance(options, by, own)).state, 'disabled')
  await assert.rejects(enableInstance(options, by, own), refused(/forbidden/))
  await registry.close()
  const { links } = await registry.trail({ after: 0, limit: 100 })
  const denied = links.flatMap(link => link.deeds).filter(({ outcome }) => outcome === 'denied')
  assert.deepEqual(
    denied.map(({ action, status }) => `${action} ${status}`),
    [
      'instance.enable 403',
      'instance.delete 403',
      'instance.restore 403',
      'instance.reclaim 403',
      'instance.enable 403',
      'instance.enable 403',
    ],
  )
})

test('what was closed before it was noted by whom is the service’s to open', async () => {
  const { fill, options } = await started()
  const { disabledBy: _, deletedBy: __, ...old } = await createInstance(options, by, { name: 'x', plan: 'standard' })
  for (const state of ['disabled', 'pending_reclamation'] as const)
    await fill([{ kind: 'instance', id: state, value: { ...old, id: state, state } }])
  const own = (id: string) => ({ id, side: 'instance' as const })
  await assert.rejects(enableInstance(options, by, own('disabled')), refused(/forbidden/))
  await assert.rejects(restoreInstance(options, by, own('pending_reclamation')), refused(/forbidden/))
  assert.equal((await enableInstance(options, by, asService('disabled'))).state, 'active')
  assert.equal((await restoreInstance(options, by, asService('pending_reclamation'))).state, 'active')
})

test('limits that the service has given stay on the record over a plan without them', async () => {
  const { options } = await started()
  const { id } = await createInstance(options, by, { name: 'x', plan: 'premium', overrides: { sessions: 5 } })
  await updateInstance(options, by, id, { plan: 'standard', capacityUnits: 10 })
  assert.deepEqual((await updateInstance(options, by, id, { plan: 'premium' })).overrides, { sessions: 5 })
  assert.deepEqual((await updateInstance(options, by, id, { overrides: null })).overrides, {})
})

test('the service’s own instance is neither disabled nor deleted', async () => {
  const { options } = await started()
  await assert.rejects(disableInstance(options, by, asService('default')), refused(/always there/))
  await assert.rejects(deleteInstance(options, by, asService('default')), refused(/always there/))
})

test('a key that has expired is not made anew by a rotation', async () => {
  const { clock, options } = await started()
  const fields = { name: 'k', roles: ['writer'], groups: [], expiresAtMs: clock.wallMs() + 1_000 }
  const { record } = await createCredential(options, by, { instance: 'default', fields })
  clock.pause(1_000)
  await assert.rejects(rotateCredential(options, by, { instance: 'default', id: record.id }), refused(/has expired/))
})

test('a key is shown once and stored hashed; rotated it has the same subject and rights, and the old one ends', async () => {
  const { clock, options, registry } = await started()
  const fields = { name: 'deployer', roles: ['writer'], groups: [], expiresAtMs: null }
  const { key, record } = await createCredential(options, by, { instance: 'default', fields })
  assert.equal(parseKey(key)?.id, record.id)
  const { links } = await registry.trail({ after: 0, limit: 100 })
  assert.ok(!JSON.stringify(links).includes(parseKey(key)!.secret), 'no secret in the trail')
  const rotated = await rotateCredential(options, by, { instance: 'default', id: record.id, overlapMs: 1_000 })
  assert.deepEqual([rotated.record.subject, rotated.record.roles], [record.subject, record.roles])
  const [deed] = (await registry.trail({ after: registry.seq - 1, limit: 1 })).links[0]!.deeds
  assert.deepEqual(
    [deed?.action, deed?.target, deed?.reason],
    ['credential.rotate', `credential/${record.id}`, `Replaced by \`${rotated.record.id}\`.`],
  )
  const old = registry.get('credential', record.id)
  assert.deepEqual([old?.expiresAtMs, old?.replacedBy], [clock.wallMs() + 1_000, rotated.record.id])
  await assert.rejects(
    rotateCredential(options, by, { instance: 'default', id: record.id }),
    refused(/rotate that one/),
  )
  const overlapMs = OVERLAP_MS_MAX
  await rotateCredential(options, by, { instance: 'default', id: rotated.record.id, overlapMs })
  await assert.rejects(
    rotateCredential(options, by, { instance: 'default', id: rotated.record.id, overlapMs: overlapMs + 1 }),
    refused(/at most/),
  )
  await revokeCredential(options, by, { instance: 'default', id: record.id, endsSessions: true, reason: 'leaked' })
  assert.deepEqual(
    [registry.get('credential', record.id)?.state, registry.get('credential', record.id)?.endsSessions],
    ['revoked', true],
  )
  await deleteCredential(options, by, { instance: 'default', id: record.id })
  await assert.rejects(
    deleteCredential(options, by, { instance: 'default', id: record.id }),
    refused(/There is no credential/),
  )
})

const instanceNamed = (id: string): Put => ({ kind: 'instance', id, value: instanceRecord({ id }) })

test('what belongs to another instance is not there', async () => {
  const { fill, options } = await started()
  await fill([instanceNamed('one'), instanceNamed('two')])
  const fields = { name: 'k', roles: [], groups: [], expiresAtMs: null }
  const { record } = await createCredential(options, by, { instance: 'one', fields })
  const other = { instance: 'two', id: record.id }
  await assert.rejects(rotateCredential(options, by, other), refused(/There is no credential/))
  await assert.rejects(
    revokeCredential(options, by, { ...other, endsSessions: false, reason: '' }),
    refused(/There is no credential/),
  )
  await assert.rejects(deleteCredential(options, by, other), refused(/There is no credential/))
  const policy = { description: '', subjects: ['*'], roles: ['reader'], locks: ['*'], conditions: {} }
  const { id } = await putPolicy(options, by, { instance: 'one', fields: policy })
  await assert.rejects(deletePolicy(options, by, { instance: 'two', id }), refused(/There is no policy/))
  await putPolicy(options, by, { instance: 'two', id, fields: policy })
  await deletePolicy(options, by, { instance: 'two', id })
  await deletePolicy(options, by, { instance: 'one', id })
  await putRole(options, by, { instance: 'one', id: 'same', title: '1', actions: ['lock.read'] })
  await putRole(options, by, { instance: 'two', id: 'same', title: '2', actions: ['lock.list'] })
  await deleteRole(options, by, { instance: 'one', id: 'same' })
  await assert.rejects(deleteRole(options, by, { instance: 'one', id: 'same' }), refused(/There is no role/))
  await deleteRole(options, by, { instance: 'two', id: 'same' })
})

test('nothing is given to an instance that was deleted, or has gone for good, while the change was on its way', async () => {
  const { options, registry } = await started()
  const { id: instance } = await createInstance(options, by, { name: 'x', plan: 'standard' })
  const fields = { name: 'late', roles: ['manager'], groups: [], expiresAtMs: null }
  const policy = { description: '', subjects: ['*'], roles: ['manager'], locks: ['*'], conditions: {} }
  const { record } = await createCredential(options, by, { instance, fields })
  const gifts = [
    () => createCredential(options, by, { instance, fields }),
    () => rotateCredential(options, by, { instance, id: record.id }),
    () => putPolicy(options, by, { instance, fields: policy }),
    () => putRole(options, by, { instance, id: 'late', title: '', actions: ['lock.read'] }),
  ]
  const closed = deleteInstance(options, by, asService(instance))
  for (const give of gifts) await assert.rejects(give(), refused(/invalid_request.*restore it first/))
  await closed
  await reclaimInstance(options, by, { ...asService(instance), forget: async () => undefined })
  for (const give of gifts) await assert.rejects(give(), refused(/not_found/))
  for (const kind of ['credential', 'policy', 'role'] as const) assert.deepEqual([...registry.all(kind)], [])
  assert.ok((await createCredential(options, by, { instance: 'default', fields })).key)
})

test('of each kind there may be as many as its limit says, and not one more', async () => {
  const { fill, options } = await started()
  const count = (many: number, put: (id: string) => Put) =>
    Array.from({ length: many }, (_, index) => put(`id-${index}`))
  const policy = { description: '', subjects: ['*'], roles: ['reader'], locks: ['*'], conditions: {} }
  await fill([instanceNamed('a')])
  const credential = (
    await createCredential(options, by, {
      instance: 'a',
      fields: { name: 'k', roles: [], groups: [], expiresAtMs: null },
    })
  ).record
  await fill(count(CREDENTIALS_MAX - 2, id => ({ kind: 'credential', id, value: { ...credential, id } })))
  await fill(count(POLICIES_MAX - 1, id => ({ kind: 'policy', id, value: { id, instance: 'a', ...policy } })))
  await fill(
    count(ROLES_MAX - 1, id => ({
      kind: 'role',
      id: `a.${id}`,
      value: { id, instance: 'a', title: id, actions: ['lock.read'] },
    })),
  )
  await fill(count(PLANS_MAX - 4, id => ({ kind: 'plan', id, value: plan(id) })))
  const instance = await createInstance(options, by, { name: 'x', plan: 'standard' })
  await fill(
    count(INSTANCES_MAX - 3, id => ({ kind: 'instance', id, value: { ...instance, id } satisfies InstanceRecord })),
  )
  const makers: [string, () => Promise<unknown>][] = [
    [
      'credentials',
      () =>
        createCredential(options, by, {
          instance: 'a',
          fields: { name: 'k', roles: [], groups: [], expiresAtMs: null },
        }),
    ],
    ['policies', () => putPolicy(options, by, { instance: 'a', fields: policy })],
    [
      'roles',
      () => putRole(options, by, { instance: 'a', id: `${Math.random()}`.slice(2), title: '', actions: ['lock.read'] }),
    ],
    ['plans', () => putPlan(options, by, plan(`p${Math.random()}`.slice(3)))],
    ['instances', () => createInstance(options, by, { name: 'last', plan: 'standard' })],
  ]
  for (const [limit, make] of makers) {
    await make()
    await assert.rejects(make(), refused(new RegExp(`as many as there may be.*|${limit}`)), limit)
  }
})
