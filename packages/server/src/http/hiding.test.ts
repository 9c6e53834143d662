import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GrantView, Refusal } from '../locks/model.ts'
import { withServer } from '../testing.ts'
import { visibleGrants, visibleWaiter, withoutHidden } from './hiding.ts'
import { refused } from './reply.ts'

const sees = (lock: string) => lock.startsWith('a')
const link = (lock: string) => ({ waiter: `w-${lock}`, task: '', lock, holder: `h-${lock}` })

test('a circle of waits is told without the locks that may not be read, and that there is one in any case', () => {
  const deadlock = (...locks: string[]): Refusal => ({ ok: false, code: 'deadlock', cycle: locks.map(link) })
  const partly = refused(withoutHidden(deadlock('a1', 'b1', 'a2'), sees))
  assert.ok(!JSON.stringify(partly).includes('b1'))
  assert.match(partly.message, /`w-a1` waits for `a1` of `h-a1`, `w-a2`/)
  assert.deepEqual(refused(withoutHidden(deadlock('b1', 'b2'), sees)), {
    code: 'deadlock',
    message: 'Waiting would never end.',
    cycle: [],
  })
  const other: Refusal = { ok: false, code: 'stale_token' }
  assert.equal(withoutHidden(other, sees), other)
})

test('of a set of locks that somebody waits for, and of grants, those are shown that may be read', () => {
  const all = { locks: ['a1', 'a2'] }
  assert.equal(visibleWaiter(all, sees), all)
  assert.deepEqual(visibleWaiter({ locks: ['a1', 'b1'] }, sees), { locks: ['a1'] })
  const grants: unknown = ['a1', 'b1'].map(lock => ({ lock }))
  // Only the name is looked at.
  assert.deepEqual(visibleGrants(grants as GrantView[], sees), [{ lock: 'a1' }])
})

test('an instance that is named by its name answers like one that nobody has, and says what names it', async () => {
  await withServer(async server => {
    const { id } = (await server.ask('POST', '/v2/instances', { body: { name: 'team1', plan: 'standard' } })).body
    const named = (instance: string) => server.ask('GET', '/v1/locks', { headers: { 'holdfast-instance': instance } })
    assert.equal((await named(id)).status, 200)
    const { status, body } = await named('team1')
    assert.equal(status, 404)
    assert.equal(
      body.errors[0].message,
      'There is no such instance. `Holdfast-Instance` takes its id, not its name or CRN.',
    )
    assert.deepEqual((await named('team2')).body.errors, body.errors)
  })
})

test('the labels of a session are about no lock: shown to who has its secret, and to who may read every lock', async () => {
  await withServer(async ({ ask, openSession }) => {
    const keyFor = async (locks: string[]) => {
      const { credential, api_key } = (await ask('POST', '/v2/credentials', { body: { name: 'a guest' } })).body
      const body = { subjects: [credential.subject], roles: ['writer'], locks }
      assert.equal((await ask('POST', '/v2/policies', { body })).status, 201)
      return api_key as string
    }
    const [ofSome, ofAll] = [await keyFor(['deploy/*']), await keyFor(['*'])]
    const labels = { host: 'web-1' }
    const { id, handle } = await openSession({ labels })
    const other = await openSession()
    const shown = async (key: string, session?: string) => {
      const answer = await ask('GET', `/v2/sessions/${id}`, { key, ...(session !== undefined && { session }) })
      assert.equal(answer.status, 200)
      return answer.body.labels
    }
    assert.equal(await shown(ofSome), undefined)
    assert.equal(await shown(ofSome, other.handle), undefined)
    assert.equal(await shown(ofSome, `${id}.${other.handle.split('.')[1]}`), undefined)
    assert.deepEqual(await shown(ofSome, handle), labels)
    assert.deepEqual(await shown(ofAll), labels)
  })
})
