/** Keys, roles and policies as people meet them: over the wire, with a server as it is started. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { type Json, type TestServer, withServer } from '../testing.ts'

async function made(server: TestServer, path: string, body: object): Promise<Json> {
  const { status, body: reply, text } = await server.ask('POST', path, { body })
  assert.equal(status, 201, text)
  return reply
}

/** The next message that is wanted, and how the connection ends. */
function connected(url: string, key: string) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v2/connect`, {
    headers: { authorization: `Bearer ${key}` },
  })
  const closed = new Promise<string>(resolve => socket.once('close', (code, reason) => resolve(`${code} ${reason}`)))
  const until = (wanted: (message: Json) => boolean) =>
    new Promise<Json>(resolve => {
      const look = (data: unknown) => {
        const found = JSON.parse(String(data)).find(wanted)
        if (!found) return
        socket.off('message', look)
        resolve(found)
      }
      socket.on('message', look)
    })
  const send = (message: object) => socket.send(JSON.stringify([message]))
  const opened = new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  return { opened, closed, until, send }
}

test('a new key may do what its policies say, until it is revoked: then its connections end, and its sessions if wished', async () => {
  await withServer(async server => {
    const { ask } = server
    const { credential, api_key: key } = await made(server, '/v2/credentials', { name: 'deployer' })
    const whoami = await ask('GET', '/v2/whoami', { key })
    assert.deepEqual([whoami.status, whoami.body.actions], [200, []])
    assert.equal((await ask('POST', '/v1/locks/deploy%2Fweb/acquire', { key, body: {} })).status, 403)
    await made(server, '/v2/policies', { subjects: [credential.subject], roles: ['writer'], locks: ['deploy/*'] })
    assert.equal((await ask('POST', '/v1/locks/deploy%2Fapi/acquire', { key, body: {} })).status, 200)
    assert.equal((await ask('POST', '/v1/locks/deploy/acquire', { key, body: {} })).status, 403)
    assert.equal((await ask('GET', '/v1/locks/deploy%2Fapi', { key })).status, 200)

    const connection = connected(server.url, key)
    await connection.opened
    connection.send({ type: 'hello' })
    await connection.until(({ type }) => type === 'welcome')
    connection.send({ type: 'acquire', id: 1, name: 'deploy/web' })
    assert.equal((await connection.until(({ id }) => id === 1)).error, undefined)

    const path = `/v2/credentials/${credential.id}/revoke`
    assert.equal((await ask('POST', path, { body: { end_sessions: true } })).status, 200)
    assert.equal(await connection.closed, '4401 credential_revoked')
    assert.equal((await ask('GET', '/v2/whoami', { key })).status, 401)
    for (const name of ['web', 'api'])
      for (;;) if ((await ask('GET', `/v2/locks/deploy%2F${name}`)).body.holder === undefined) break
  })
})

test('a policy is tried before it is trusted', async () => {
  await withServer(async server => {
    const policy = { subjects: ['group:ops'], roles: ['writer'], locks: ['a*'], conditions: { max_ttl_ms: 5_000 } }
    const { id } = await made(server, '/v2/policies', policy)
    const asked = { subject: 'key:x', groups: ['ops'], action: 'lock.acquire', lock: 'a1' }
    const tried = async (more: object) =>
      (await server.ask('POST', '/v2/policies/test', { body: { ...asked, ...more } })).body
    const yes = await tried({ ttl_ms: 5_000 })
    assert.deepEqual([yes.permitted, yes.looked_at[0].policy, yes.looked_at[0].matches], [true, id, true])
    const no = await tried({ ttl_ms: 5_001 })
    assert.deepEqual([no.permitted, no.looked_at[0].why], [false, 'The TTL may be 5000 ms at most.'])
    assert.equal((await tried({ ttl_ms: 5_000, groups: [] })).permitted, false)
  })
})
