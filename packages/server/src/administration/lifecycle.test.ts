/** What bills need: the history of an instance, and what is left of those that are gone for good. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemRandom } from '../random.ts'
import type { Put } from '../registry/port.ts'
import { noLimits } from '../registry/records.ts'
import { instanceRecord, memoryRegistry } from '../registry/testing.ts'
import { FakeClock } from '../shards/testing.ts'
import type { AdministrationOptions, By } from './administration.ts'
import { createInstance, HISTORY_KEPT_MS, HISTORY_MAX, RECLAIMED_MAX, updateInstance } from './instances.ts'
import {
  deleteInstance,
  dueForReclamation,
  forgetRemains,
  REMAINS_KEPT_MS,
  reclaimInstance,
  restoreInstance,
} from './lifecycle.ts'
import { orderInstance } from './orders.ts'

const by: By = { subject: 'root', from: '127.0.0.1', trace: 't-1' }

function started() {
  const clock = new FakeClock()
  const registry = memoryRegistry({
    kind: 'plan',
    id: 'premium',
    value: {
      id: 'premium',
      title: '',
      description: '',
      priceUsd: 0.2,
      perUnits: 10,
      minUnits: 1,
      stepUnits: 1,
      allowsOverrides: true,
      unit: noLimits,
      state: 'offered',
    },
  })
  const named = { serviceName: 'go-etcd-lock', region: 'local' }
  const options: AdministrationOptions = { registry, clock, random: systemRandom, ...named }
  return { clock, registry, options }
}

const remains = (id: string, reclaimedAtMs: number): Put => ({
  kind: 'reclaimed',
  id,
  value: { ...instanceRecord({ id }), state: 'reclaimed', reclaimedAtMs },
})

test('in the commit in which an instance goes for good stays what it is metered by, and nothing else of it', async () => {
  const { clock, options, registry } = started()
  const { id, crn } = await createInstance(options, by, { name: 'x', plan: 'premium', capacityUnits: 1_000 })
  clock.pause(60_000)
  await deleteInstance(options, by, { id, side: 'service' })
  const { history } = registry.get('instance', id)!
  const { seq } = registry
  await reclaimInstance(options, by, { id, side: 'service', forget: async () => undefined })
  const { links } = await registry.trail({ after: seq, limit: 10 })
  assert.deepEqual(
    links.map(({ writes }) => writes.map(({ kind, value }) => [kind, value === null])),
    [
      [['instance', false]],
      [
        ['instance', true],
        ['reclaimed', false],
      ],
    ],
  )
  const left = registry.get('reclaimed', id)
  assert.deepEqual([left?.crn, left?.history, left?.reclaimedAtMs], [crn, history, clock.wallMs()])
  assert.deepEqual(
    history.map(({ capacityUnits }) => capacityUnits),
    [1_000, 0],
  )
})

test('what has begun to go for good is not restored meanwhile, and is gone on with after a crash', async () => {
  const { options, registry } = started()
  const { id } = await createInstance(options, by, { name: 'x', plan: 'premium' })
  const service = { id, side: 'service' } as const
  await deleteInstance(options, by, service)
  assert.deepEqual(dueForReclamation(options), [])
  const crash = async () => {
    await assert.rejects(restoreInstance(options, by, service), /being reclaimed/)
    throw new Error('the server is gone')
  }
  await assert.rejects(reclaimInstance(options, by, { ...service, forget: crash }), /the server is gone/)
  await assert.rejects(restoreInstance(options, by, service), /being reclaimed/)
  assert.deepEqual(
    dueForReclamation(options).map(due => due.id),
    [id],
    'long before its week is over',
  )
  await reclaimInstance(options, by, { ...service, forget: async () => undefined })
  assert.equal(registry.get('instance', id), null)
})

test('it stays for REMAINS_KEPT_MS, however many there are', async () => {
  const { clock, options, registry } = started()
  const atMs = clock.wallMs()
  registry.put(...Array.from({ length: 250 }, (_, index) => remains(`old-${index}`, atMs)), remains('young', atMs + 1))
  clock.pause(REMAINS_KEPT_MS - 1)
  await forgetRemains(options, by)
  assert.equal([...registry.all('reclaimed')].length, 251)
  clock.pause(1)
  await forgetRemains(options, by)
  assert.deepEqual(
    [...registry.all('reclaimed')].map(({ id }) => id),
    ['young'],
  )
})

test('while RECLAIMED_MAX of them are kept no instance is made, and who asks again for one that there is finds it', async () => {
  const { clock, options, registry } = started()
  const atMs = clock.wallMs()
  const asked = { orderedAs: 'theirs', ordered: { plan: 'premium' } }
  const { record } = await orderInstance(options, by, asked)
  registry.put(...Array.from({ length: RECLAIMED_MAX - 1 }, (_, index) => remains(`r-${index}`, atMs)))
  await createInstance(options, by, { name: 'x', plan: 'premium' })
  registry.put(remains('last', atMs))
  await assert.rejects(createInstance(options, by, { name: 'y', plan: 'premium' }), /as many as there may be/)
  assert.deepEqual(await orderInstance(options, by, asked), { record, isNew: false })
  await assert.rejects(
    createInstance(options, by, { name: 'x', plan: 'premium', uniqueName: true }),
    /There is an instance `x` already/,
  )
})

test('HISTORY_MAX changes of size are remembered, the last place being for a deletion; what is younger than HISTORY_KEPT_MS is not forgotten', async () => {
  const { clock, options, registry } = started()
  const { id } = await createInstance(options, by, { name: 'x', plan: 'premium', capacityUnits: 1_000 })
  const service = { id, side: 'service' } as const
  clock.pause(60_000)
  const resize = (units: number) => updateInstance(options, by, id, { capacityUnits: units })
  for (let units = 2; units < HISTORY_MAX; units++) await resize(units)
  const history = () => registry.get('instance', id)!.history
  assert.deepEqual([history().length, history()[0]?.capacityUnits], [HISTORY_MAX - 1, 1_000])
  await assert.rejects(resize(1), { code: 'quota_exceeded' })
  await updateInstance(options, by, id, { name: 'y' })
  await deleteInstance(options, by, service)
  assert.deepEqual([history().length, history()[0]?.capacityUnits], [HISTORY_MAX, 1_000])
  await assert.rejects(restoreInstance(options, by, service), { code: 'quota_exceeded' })
  clock.pause(HISTORY_KEPT_MS - 1)
  await assert.rejects(restoreInstance(options, by, service), { code: 'quota_exceeded' })
  clock.pause(1)
  await restoreInstance(options, by, service)
  await resize(1)
  assert.equal(history().length, HISTORY_MAX - 1)
  assert.deepEqual(
    history()
      .slice(-2)
      .map(({ capacityUnits }) => capacityUnits),
    [HISTORY_MAX - 1, 1],
  )
})
