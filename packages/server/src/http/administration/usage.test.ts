/** Usage over REST: of one's own instance, and for whoever runs the service also of others and of those that are gone for good. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Ask, withServer } from '../../testing.ts'

test('the usage of an instance that is gone for good can be asked for by whoever runs the service, and by nobody else', async () => {
  await withServer(async server => {
    const make = async (name: string) => {
      const body = { name, plan: 'premium', capacity_units: 1_000 }
      const { id } = (await server.ask('POST', '/v2/instances', { body })).body
      const made = await server.ask('POST', '/v2/credentials', {
        body: { name: 'k', roles: ['administrator'] },
        headers: { 'holdfast-instance': id },
      })
      return { id: id as string, key: made.body.api_key as string }
    }
    const [red, blue] = [await make('red'), await make('blue')]
    const operator = (await server.ask('POST', '/v2/credentials', { body: { name: 'o', roles: ['operator'] } })).body
    const reader = (await server.ask('POST', '/v2/credentials', { body: { name: 'r', roles: ['reader'] } })).body
    const usage = (id: string, options: Ask = {}) => server.ask('GET', `/v2/usage?instance=${id}`, options)
    const hours = async () => (await usage(red.id)).body.month.capacity_unit_hours as number
    while ((await hours()) === 0);
    assert.deepEqual((await usage(red.id, { key: red.key })).status, 200, 'its own')
    await server.ask('DELETE', `/v2/instances/${red.id}`)
    const atTheEnd = await hours()
    assert.equal((await server.ask('POST', `/v2/instances/${red.id}/reclaim`)).status, 204)
    for (const key of [undefined, operator.api_key as string]) {
      const { status, body } = await usage(red.id, key === undefined ? {} : { key })
      assert.equal(status, 200)
      assert.deepEqual([body.instance, body.plan, body.month.capacity_unit_hours], [red.id, 'premium', atTheEnd])
      for (const { by_plan, capacity_unit_hours } of body.usage)
        assert.deepEqual(by_plan, capacity_unit_hours > 0 ? [{ plan_id: body.plan_id, capacity_unit_hours }] : [])
    }
    for (const id of [red.id, blue.id]) assert.equal((await usage(id, { key: reader.api_key })).status, 403)
    assert.equal((await usage(red.id, { key: blue.key })).status, 404)
    assert.equal((await usage(blue.id, { key: operator.api_key })).status, 200)
    assert.equal((await usage('nobody')).status, 404)
    const listed = async (state: string, options: Ask = {}) =>
      (await server.ask('GET', `/v2/instances?state=${state}`, options)).body.instances.map(
        (row: { id: string; state: string }) => `${row.id} ${row.state}`,
      )
    assert.deepEqual(await listed('reclaimed'), [`${red.id} reclaimed`])
    assert.deepEqual(await listed('reclaimed', { key: blue.key }), [])
    assert.deepEqual(await listed('active', { key: blue.key }), [`${blue.id} active`])
    assert.deepEqual(await listed('disabled'), [])
    assert.equal((await server.ask('GET', `/v2/instances/${red.id}`)).status, 404)
  })
})
