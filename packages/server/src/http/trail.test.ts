/** What the trail tells of what was written, asked for as people ask: on a real server in memory. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keyWithin } from '../registry/records.ts'
import { RECORD_BYTES_MAX } from '../registry/registry.ts'
import { type Ask, type Json, ROOT_KEY, type TestServer, withServer } from '../testing.ts'
import { bind, GUID, order } from './broker/testing.ts'

const within = (instance: string, options: Ask = {}): Ask => ({
  ...options,
  headers: { 'holdfast-instance': instance },
})

async function made(server: TestServer, path: string, options: Ask): Promise<Json> {
  const answer = await server.ask('POST', path, options)
  assert.equal(answer.status, 201, answer.text)
  return answer.body
}

async function team(server: TestServer, name: string, roles = ['manager', 'administrator']) {
  const { id } = await made(server, '/v2/instances', { body: { name, plan: 'premium' } })
  const { api_key, credential } = await made(server, '/v2/credentials', within(id, { body: { name, roles } }))
  return { id: id as string, key: api_key as string, credential: credential.id as string }
}

async function trailOf(server: TestServer, options: Ask = {}): Promise<Json[]> {
  const answer = await server.ask('GET', '/v2/audit?order=oldest&limit=1000', options)
  assert.equal(answer.status, 200, answer.text)
  return answer.body.records
}

test('who gives himself a right, uses it and takes it away has left in the trail what it was', async () => {
  await withServer(async server => {
    const { id, key, credential } = await team(server, 'red', ['administrator'])
    const body = { subjects: [`key:${credential}`], roles: ['night'], locks: ['payments/*'] }
    await server.ask('PUT', '/v2/roles/night', { key, body: { title: 'Night', actions: ['lock.force-release'] } })
    const policy = await made(server, '/v2/policies', { key, body })
    for (const path of [`/v2/policies/${policy.id}`, '/v2/roles/night'])
      assert.equal((await server.ask('DELETE', path, { key })).status, 204)
    const records = await trailOf(server, within(id))
    const told = records.map(({ action, changed: [one] }) => [action, one.id, one.value ?? one.is_removed])
    assert.deepEqual(told.slice(2), [
      ['role.write', 'night', { title: 'Night', actions: ['lock.force-release'] }],
      ['policy.write', policy.id, { description: '', ...body, conditions: {} }],
      ['policy.delete', policy.id, true],
      ['role.delete', 'night', true],
    ])
    const [[created, , instance], [minted, , of]] = told as [Json, Json]
    assert.deepEqual([created, instance.name, instance.state], ['instance.create', 'red', 'active'])
    assert.deepEqual([minted, of.name, of.roles], ['credential.create', 'red', ['administrator']])
  })
})

test('what a lock was configured to and until when names were frozen is told; the value that it carries is not', async () => {
  await withServer(async server => {
    const labels = { theTeam: 'a' }
    await server.ask('PUT', '/v2/locks/a', { body: { limit: 2, labels } })
    const until = new Date(Date.now() + 60_000).toISOString()
    await server.ask('POST', '/v2/freezes', { body: { prefix: 'b/', until, reason: 'r' } })
    await server.ask('DELETE', '/v2/freezes?prefix=b%2F')
    await server.ask('DELETE', '/v2/locks/a')
    const told = (await trailOf(server)).filter(({ action }) => action.startsWith('lock.'))
    assert.deepEqual(
      told.map(({ action, changed }) => [action, changed]),
      [
        ['lock.configure', [{ kind: 'lock', id: 'a', value: { limit: 2, labels } }]],
        ['lock.freeze', [{ kind: 'freeze', id: 'b/', value: { until } }]],
        ['lock.thaw', [{ kind: 'freeze', id: 'b/', is_removed: true }]],
        ['lock.delete', [{ kind: 'lock', id: 'a', is_removed: true }]],
      ],
    )
  })
})

test('who reads the trail of an instance sees nothing of another’s, and who reads that of the service no keys and policies', async () => {
  await withServer(async server => {
    const [red, azure] = [await team(server, 'red'), await team(server, 'azure')]
    const body = { subjects: ['key:of-azure'], roles: ['reader'], locks: ['azure/*'] }
    await made(server, '/v2/policies', { key: azure.key, body })
    await server.ask('PUT', '/v2/locks/azure', { key: azure.key, body: { limit: 2 } })
    assert.match(JSON.stringify(await trailOf(server, { key: azure.key })), /key:of-azure/)
    assert.doesNotMatch(JSON.stringify(await trailOf(server, { key: red.key })), new RegExp(`azure|${azure.id}`))
    await server.ask('DELETE', `/v2/instances/${azure.id}`)
    await server.ask('POST', `/v2/instances/${azure.id}/reclaim`)
    const kinds = (await trailOf(server)).flatMap(({ changed = [] }) => changed.map(({ kind }: Json) => kind))
    assert.deepEqual(new Set(kinds), new Set(['instance', 'plan', 'reclaimed']))
  })
})

test('no secret and no hash of one is in the trail, whatever was made, rotated, revoked, bound, signed or deleted', async () => {
  await withServer(async server => {
    const { id, key, credential } = await team(server, 'red')
    const ofRed = within(id)
    const secrets: string[] = [ROOT_KEY, key, 'a-value-of-a-lock']
    const rotated = await made(server, `/v2/credentials/${credential}/rotate`, { ...ofRed, body: {} })
    await order(server)
    const bound = await bind(server, 'b-1', { parameters: { role_crn: 'Writer' } })
    secrets.push(rotated.api_key, bound.body.credentials.apikey)
    const form = `grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Aapikey&apikey=${rotated.api_key}`
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const { body } = await server.ask('POST', '/identity/token', { raw: form, headers, key: null })
    secrets.push(body.access_token)
    const { handle } = await server.openSession()
    const { token } = (await server.ask('POST', '/v2/locks/a/acquire', { body: {}, session: handle })).body
    await server.ask('PUT', '/v2/locks/a/value', { body: { value: 'a-value-of-a-lock', token }, session: handle })
    secrets.push(handle)
    for (const { secretHash } of server.registry.all('credential')) secrets.push(secretHash)
    for (const { n } of server.registry.all('signer')) secrets.push(n)
    await server.ask('POST', `/v2/credentials/${credential}/revoke`, { ...ofRed, body: { reason: 'r' } })
    await server.ask('DELETE', `/v2/credentials/${credential}`, ofRed)
    const texts = await Promise.all(
      [{}, ofRed, within(GUID)].map(async of => JSON.stringify(await trailOf(server, of))),
    )
    const trail = texts.join()
    for (const kind of ['instance', 'credential', 'signer']) assert.match(trail, new RegExp(`"kind":"${kind}"`))
    assert.ok(secrets.length >= 10)
    // Of a key or a handle its secret, as its last part, too.
    for (const secret of secrets.flatMap(one => [one, one.slice(-43), one.split('.').at(-1) ?? ''])) {
      assert.ok(secret.length > 8, secret)
      assert.ok(!trail.includes(secret), secret)
    }
  })
})

test('the largest policy that there can be is told whole: nobody hides what he wrote by its size', async () => {
  await withServer(async server => {
    const policy = { id: 'p-1', instance: 'default', subjects: ['*'], roles: ['manager'], locks: ['*'], conditions: {} }
    const room = RECORD_BYTES_MAX - JSON.stringify({ ...policy, description: '' }).length
    const value = { ...policy, description: 'x'.repeat(room) }
    const told = { by: 'ann', from: '', outcome: 'success', status: 200, reason: '', trace: '' } as const
    const deed = { ...told, action: 'policy.write', instance: 'default', target: 'policy/p-1' }
    await server.registry.change(deed, () => [{ kind: 'policy', id: keyWithin('default', 'p-1'), value }])
    const [found] = (await trailOf(server)).filter(({ action }) => action === 'policy.write')
    assert.deepEqual([found.changed[0].value.roles, found.changed[0].value.description.length], [['manager'], room])
  })
})
