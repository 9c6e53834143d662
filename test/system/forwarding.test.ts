/** What is asked of a server that does not decide: the one that does knows who asked, from where, in which request, and for how long it may wait. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { asker, openSession } from '../harness/rest.ts'
import { startServers } from '../harness/servers.ts'
import { ownerOf } from '../harness/witness/owner.ts'

const ADDRESS = '203.0.113.9'
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const WAIT_MS = 1_000

const acquire = (name: string) => ({ locks: [{ name }], request_id: `of ${name}` })

test('forwarding keeps the subject, the address, the request id, and the limit of a wait; its trace is found by the request id', async () => {
  const flags = ['--log-requests', '--log-level', 'info', '--trusted-proxies', '127.0.0.1']
  const servers = await startServers({ servers: 2, etcd: { members: 1 }, flags })
  try {
    const root = asker(servers.urls[0]!)
    const owning = { 'holdfast-session': await openSession(root, 60_000) }
    const held = await root('POST', '/v2/acquire', acquire('forwarded/held'), owning)
    assert.equal(held.status, 200, JSON.stringify(held.body))
    const place = await ownerOf(servers)
    const [owner, other] = [servers.all[place]!, servers.all[1 - place]!]
    const made = await root('POST', '/v2/credentials', { name: 'app', roles: ['writer'] })
    // As the operation says.
    const { credential, api_key } = made.body as { credential: { id: string }; api_key: string }
    const headers = (requestId: string) => ({
      authorization: `Bearer ${api_key}`,
      'x-forwarded-for': ADDRESS,
      'x-request-id': requestId,
      traceparent: `00-${TRACE}-00f067aa0ba902b7-01`,
    })
    const ask = asker(other.url)
    const open = () => ask('POST', '/v2/sessions', { ttl_ms: 60_000 }, headers('opened'))
    let opened = await open()
    // Until the other has heard of the key.
    for (let tries = 0; opened.status === 401 && tries < 100; tries++) {
      await sleep(50)
      opened = await open()
    }
    const session = { 'holdfast-session': `${opened.body.session_id}.${opened.body.session_secret}` }
    const beganMs = performance.now()
    const waiting = { ...acquire('forwarded/held'), wait_ms: WAIT_MS }
    const waited = await ask('POST', '/v2/acquire', waiting, { ...headers('waited'), ...session })
    const tookMs = performance.now() - beganMs
    assert.notEqual(waited.status, 200, JSON.stringify(waited.body))
    assert.ok(tookMs >= WAIT_MS && tookMs < WAIT_MS + 2_000, `${tookMs} ms`)
    const acquired = await ask('POST', '/v2/acquire', acquire('forwarded/free'), { ...headers('acquired'), ...session })
    assert.equal(acquired.status, 200, JSON.stringify(acquired.body))
    // As the one who decided has it.
    const { body } = await asker(owner.url)('GET', '/v2/audit?lock=forwarded/free')
    const [record] = (body as { records: Record<string, unknown>[] }).records
    const { action, subject, from, request_id } = record ?? {}
    assert.deepEqual(
      { action, subject, from, request_id },
      { action: 'lock.acquire', subject: `key:${credential.id}`, from: ADDRESS, request_id: 'acquired' },
    )
    // The door logs once it has answered.
    const lineOf = () =>
      other
        .output()
        .split('\n')
        .find(line => line.includes('"trace":"acquired"'))
    for (let tries = 0; !lineOf() && tries < 100; tries++) await sleep(20)
    assert.match(lineOf() ?? '', new RegExp(`"traceparent":"00-${TRACE}-`))
    assert.ok(!owner.output().includes('"trace":"acquired"'), 'it was asked of the other')
  } finally {
    await servers.stop()
  }
})
