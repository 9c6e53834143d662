import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type InstanceView, instanceOf } from './instances.ts'

test('an instance is found by its id and its CRN, whatever others are called, and by a name that only one has', () => {
  const instances = [instance('i-1', 'payments'), instance('i-2', 'i-1'), instance('i-3', crnOf('i-1'))]
  const found = (named: string) => instanceOf(instances, named).id
  assert.deepEqual(['i-1', crnOf('i-1'), 'payments', 'i-2'].map(found), ['i-1', 'i-1', 'i-1', 'i-2'])
  assert.throws(() => found('orders'), /There is no instance orders/)
  instances.push(instance('i-4', 'payments'))
  assert.throws(() => found('payments'), /2 instances are called payments.*i-1, i-4/)
})

const crnOf = (id: string) => `crn:v1:bluemix:public:go-etcd-lock:local:a/a1:${id}::`

function instance(id: string, name: string): InstanceView {
  return {
    id,
    name,
    crn: crnOf(id),
    account: 'a1',
    plan: 'standard',
    capacityUnits: 10,
    region: 'local',
    state: 'active',
    limits: {},
    createdAt: '2026-01-01T00:00:00.000Z',
    createdBy: 'root',
  }
}
