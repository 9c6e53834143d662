import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Ask, type TestServer, withServer } from '../../testing.ts'

const within = (instance: string, options: Ask = {}): Ask => ({
  ...options,
  headers: { 'holdfast-instance': instance },
})

/** An instance that held a lock when it was deleted for good. */
async function purged({ ask }: TestServer): Promise<{ id: string; crn: string; key: string }> {
  const { id, crn } = (await ask('POST', '/v2/instances', { body: { name: 'red', plan: 'standard' } })).body
  const made = await ask('POST', '/v2/credentials', within(id, { body: { name: 'k', roles: ['manager'] } }))
  const key = made.body.api_key
  assert.equal((await ask('POST', '/v1/locks/orders/acquire', { key, body: {} })).status, 200)
  assert.equal((await ask('DELETE', `/v2/instances/${id}`)).status, 200)
  assert.equal((await ask('POST', `/v2/instances/${id}/reclaim`)).status, 204)
  return { id, crn, key }
}

type Told = { action: string; target: string; subject: string; instance?: string }
const told = ({ action, target, subject }: Told) => `${action} ${target} by ${subject}`

test('what became of an instance that is gone is read by whoever runs the service, and by nobody else', async () => {
  await withServer(async server => {
    const { id, crn, key } = await purged(server)
    const { status, body } = await server.ask('GET', '/v2/audit?order=oldest', within(id))
    assert.equal(status, 200)
    const lines: string[] = body.records.map(told)
    for (const line of [
      `instance.create instance/${id} by root`,
      `instance.delete instance/${id} by root`,
      `instance.reclaim instance/${id} by root`,
    ])
      assert.ok(lines.includes(line), `${line} is not among ${lines.join(', ')}`)
    assert.ok(lines.some(line => line.startsWith('lock.acquire lock/orders by key:')))
    assert.ok(lines.includes('lock.force-release lock/orders by root'), 'whose deletion it was')
    assert.deepEqual(body.instances, [{ id, crn }])
    assert.equal((await server.ask('GET', '/v2/audit', { key })).status, 401, 'its own keys have gone with it')
    for (const path of ['/v2/locks', '/v2/whoami', '/v2/usage'])
      assert.equal((await server.ask('GET', path, within(id))).status, 404, path)
    const other = (await server.ask('POST', '/v2/instances', { body: { name: 'blue', plan: 'standard' } })).body
    const spy = await server.ask(
      'POST',
      '/v2/credentials',
      within(other.id, { body: { name: 's', roles: ['manager'] } }),
    )
    assert.equal((await server.ask('GET', '/v2/audit', within(id, { key: spy.body.api_key }))).status, 404)
    for (const instance of ['default', 'none-such'])
      assert.equal((await server.ask('GET', '/v2/audit', within(instance, { key: spy.body.api_key }))).status, 404)
  })
})

test('an instance that never was has no trail', async () => {
  await withServer(async ({ ask }) => {
    const { status, body } = await ask('GET', '/v2/audit', within('00000000-0000-4000-8000-000000000000'))
    assert.deepEqual([status, body.errors[0].code], [404, 'not_found'])
  })
})

test('the trail of the service has what became of every instance, and who presented a revoked key of whichever', async () => {
  await withServer(async server => {
    const { ask } = server
    const gone = await purged(server)
    const { id, crn } = (await ask('POST', '/v2/instances', { body: { name: 'blue', plan: 'standard' } })).body
    const made = await ask('POST', '/v2/credentials', within(id, { body: { name: 'k', roles: ['manager'] } }))
    const { api_key: key, credential } = made.body
    assert.equal((await ask('POST', `/v2/credentials/${credential.id}/revoke`, within(id, { body: {} }))).status, 200)
    assert.equal((await ask('GET', '/v2/locks', { key })).status, 401)
    const stolen = `authenticate credential/${credential.id} by key:${credential.id}`
    for (const instance of ['default', id])
      for (let look = 0; ; look++) {
        const { body } = await ask('GET', '/v2/audit?limit=200', within(instance))
        if (look > 0) await new Promise(resolve => setTimeout(resolve, 20))
        // What is denied is written down within a second or so.
        if (look < 100 && !body.records.some((record: Told) => told(record) === stolen)) continue
        const lines: string[] = body.records.map(told)
        assert.ok(lines.includes(stolen), lines.join(', '))
        const known = new Map(body.instances.map((one: { id: string; crn: string }) => [one.id, one.crn]))
        assert.equal(known.get(id), crn)
        if (instance !== 'default') break
        assert.equal(known.get(gone.id), gone.crn)
        for (const action of ['create', 'delete', 'reclaim'])
          assert.ok(lines.includes(`instance.${action} instance/${gone.id} by root`), action)
        assert.ok(!lines.some(line => line.includes('lock/orders')), 'but no names of locks')
        break
      }
  })
})
