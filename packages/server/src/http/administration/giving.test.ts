/** Nobody gives what they do not have: every way in which somebody's rights are made or shown anew, tried by an editor who would be administrator. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Answer, type Ask, type TestServer, withServer } from '../../testing.ts'

const code = (answer: Answer) => [answer.status, answer.body?.errors?.[0].code]

/** An instance whose policies make administrators of a group and of one key, and whose own role may change roles. */
async function prepared(server: TestServer) {
  const instance = (await server.ask('POST', '/v2/instances', { body: { name: 'red', plan: 'standard' } })).body.id
  const within = (options: Ask = {}): Ask => ({ ...options, headers: { 'holdfast-instance': instance } })
  const key = async (name: string, fields: object) => {
    const made = await server.ask('POST', '/v2/credentials', within({ body: { name, ...fields } }))
    assert.equal(made.status, 201, made.text)
    return made.body as { api_key: string; credential: { id: string; subject: string } }
  }
  const put = async (path: string, body: object) => {
    const answer = await server.ask('PUT', path, within({ body }))
    assert.equal(answer.status, 200, answer.text)
  }
  const boss = await key('boss', { roles: ['editor'] })
  await put('/v2/policies/admins', { subjects: ['group:admins'], roles: ['administrator'] })
  await put('/v2/policies/boss', { subjects: [boss.credential.subject], roles: ['administrator'] })
  return { key, put, boss, within }
}

test('an editor gives no groups that are not its own', async () => {
  await withServer(async server => {
    const { key, within } = await prepared(server)
    const { api_key } = await key('editor', { roles: ['editor'], groups: ['builders'] })
    const give = (groups: string[]) =>
      server.ask('POST', '/v2/credentials', { key: api_key, body: { name: 'x', roles: ['editor'], groups } })
    assert.equal((await give(['builders'])).status, 201)
    assert.equal((await give([])).status, 201)
    for (const groups of [['admins'], ['builders', 'admins'], ['corporate:ops']])
      assert.deepEqual(code(await give(groups)), [403, 'forbidden'])
    const administrator = await key('administrator', { roles: ['administrator'] })
    const trail = '/v2/audit?outcome=denied&action=policy.write'
    const denied = async () => (await server.ask('GET', trail, within())).body.records
    // Denials are written in bunches.
    while ((await denied()).length === 0) await new Promise(resolve => setTimeout(resolve, 50))
    assert.equal((await denied())[0].reason, 'To give more than one has oneself.')
    const given = await server.ask('POST', '/v2/credentials', {
      key: administrator.api_key,
      body: { name: 'x', roles: [], groups: ['admins'] },
    })
    assert.equal(given.status, 201, 'who may grant anything may')
  })
})

test('an editor rotates no key that policies or groups make more of than its own', async () => {
  await withServer(async server => {
    const { key, boss } = await prepared(server)
    const editor = await key('editor', { roles: ['editor'] })
    const grouped = await key('grouped', { roles: ['editor'], groups: ['admins'] })
    const plain = await key('plain', { roles: ['editor'] })
    const rotate = (id: string, by: string) => server.ask('POST', `/v2/credentials/${id}/rotate`, { key: by, body: {} })
    assert.deepEqual(code(await rotate(boss.credential.id, editor.api_key)), [403, 'forbidden'])
    assert.deepEqual(code(await rotate(grouped.credential.id, editor.api_key)), [403, 'forbidden'])
    assert.equal((await rotate(plain.credential.id, editor.api_key)).status, 201)
    assert.equal((await rotate(editor.credential.id, editor.api_key)).status, 201, 'its own')
    assert.equal((await rotate(boss.credential.id, boss.api_key)).status, 201, 'its own, whatever it may')
  })
})

test('who may change roles makes none that may do more than its own', async () => {
  await withServer(async server => {
    const { key, put } = await prepared(server)
    await put('/v2/roles/role-keeper', { title: 'Role keeper', actions: ['role.read', 'role.write', 'lock.read'] })
    const { api_key } = await key('keeper', { roles: ['role-keeper'] })
    const change = (id: string, actions: string[]) =>
      server.ask('PUT', `/v2/roles/${id}`, { key: api_key, body: { title: id, actions } })
    assert.equal((await change('looker', ['lock.read'])).status, 200)
    assert.deepEqual(code(await change('role-keeper', ['role.write', 'policy.write'])), [403, 'forbidden'])
    assert.deepEqual(code(await change('looker', ['lock.read', 'lock.acquire'])), [403, 'forbidden'])
  })
})
