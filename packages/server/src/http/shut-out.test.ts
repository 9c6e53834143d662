/** Who must not come in, or no more: past the first checks by another spelling, with what was permitted when the headers came, and with more than a greeting. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type ClientOptions, WebSocket } from 'ws'
import { Authority } from '../../../../test/harness/certificates.ts'
import { person } from '../policies/testing.ts'
import type { Put } from '../registry/port.ts'
import { type CredentialRecord, keyWithin } from '../registry/records.ts'
import { credentialRecord, policyRecord } from '../registry/testing.ts'
import { ROOT_KEY, type TestServer, withServer } from '../testing.ts'
import { at, GUID, idsOf } from './broker/testing.ts'
import { HELLO_CHARS_MAX } from './connect/connection.ts'
import { withDoors } from './testing.ts'

const put = (value: CredentialRecord): Put => ({ kind: 'credential', id: value.id, value })
const key = (id: string) => credentialRecord({ id, roles: ['manager'] })
const of = ({ id, subject, instance, roles, groups }: CredentialRecord) =>
  person({ subject, instance, roles, groups, credential: id })
const [ann, ben] = [key('ann'), key('ben')]
const world = { puts: [put(ann), put(ben)], people: { ann: of(ann), ben: of(ben) } }

async function raw(url: string, text: string): Promise<{ socket: Socket; answer: Promise<string> }> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port) })
  await once(socket, 'connect')
  const answer = once(socket, 'data').then(([data]) => String(data))
  socket.write(text)
  return { socket, answer }
}

test('no spelling of a path leads past the first checks', async () => {
  await withDoors(async ({ listen }) => {
    const url = await listen()
    for (const path of ['/%762/plans', '/%762/whoami', '/v%32/locks', 'http://x/v2/locks', '/%76%31/locks/a']) {
      const { socket, answer } = await raw(url, `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
      assert.match(await answer, /^HTTP\/1\.1 (401|404) /, path)
      socket.destroy()
    }
  }, world)
})

test('a key that is revoked while its request arrives does nothing any more', async () => {
  await withDoors(async ({ listen, registry, ask }) => {
    const url = await listen()
    const body = '{"ttl_seconds":600}'
    const head = `POST /v1/locks/slow/acquire HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ann\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`
    const { socket, answer } = await raw(url, head + body.slice(0, 5))
    // Its headers have been read.
    await ask('GET', '/v2/whoami')
    registry.put(put({ ...ann, state: 'revoked' }))
    socket.write(body.slice(5))
    assert.match(await answer, /^HTTP\/1\.1 403 /)
    socket.destroy()
    assert.equal((await ask('GET', '/v2/locks/slow')).status, 404)
  }, world)
})

/** Sends the headers; what it returns sends the body, and resolves to the status. */
async function slowly(
  server: TestServer,
  line: string,
  { key: by, body }: { key: string; body: object },
): Promise<() => Promise<number>> {
  const text = JSON.stringify(body)
  const head = `${line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${by}\r\nX-Broker-API-Version: 2.17\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\nExpect: 100-continue\r\n\r\n`
  const { socket, answer } = await raw(server.url, head)
  assert.match(await answer, /^HTTP\/1\.1 100 /, 'its headers have been read')
  return async () => {
    const answered = once(socket, 'data')
    socket.write(text)
    const status = Number(String((await answered)[0]).split(' ')[1])
    socket.destroy()
    return status
  }
}

test('what administration and the broker are asked for is decided when the body has come, not when the headers had', async () => {
  await withServer(async server => {
    const { service_id, standard } = await idsOf(server)
    const keyOf = async (name: string, roles: string[], instance = 'default') => {
      const body = { name, roles }
      return (await server.ask('POST', '/v2/credentials', { body, headers: { 'holdfast-instance': instance } })).body
    }

    const platform = await keyOf('platform', ['editor', 'manager'])
    const ordered = await slowly(server, `PUT /broker${at(GUID)}`, {
      key: platform.api_key,
      body: { service_id, plan_id: standard },
    })
    await server.ask('POST', `/v2/credentials/${platform.credential.id}/revoke`, { body: {} })
    assert.equal(await ordered(), 403, 'a key that is revoked orders nothing')

    const eve = await keyOf('eve', [])
    const subjects = [eve.credential.subject]
    const policy = { subjects, roles: ['administrator', 'editor'] }
    const given = async () => (await server.ask('POST', '/v2/policies', { body: policy })).body.id as string
    const granted = await given()
    const forEver = await slowly(server, 'POST /v2/policies', {
      key: eve.api_key,
      body: { subjects, roles: ['administrator'] },
    })
    await server.ask('DELETE', `/v2/policies/${granted}`)
    assert.equal(await forEver(), 403, 'rights that are taken away give nothing')
    const grantedAgain = await given()
    const late = await slowly(server, `PUT /broker${at(GUID)}`, {
      key: eve.api_key,
      body: { service_id, plan_id: standard },
    })
    await server.ask('DELETE', `/v2/policies/${grantedAgain}`)
    assert.equal(await late(), 403, 'nor do they order')
    assert.equal((await server.ask('GET', `/v2/instances/${GUID}`)).status, 404)

    const { id } = (await server.ask('POST', '/v2/instances', { body: { name: 't', plan: 'standard' } })).body
    const own = await keyOf('own', ['administrator', 'editor'], id)
    const resized = await slowly(server, `PATCH /v2/instances/${id}`, {
      key: own.api_key,
      body: { capacity_units: 1000 },
    })
    await server.ask('POST', `/v2/instances/${id}/disable`)
    assert.equal(await resized(), 403, 'what is disabled is not resized')
  })
})

test('a key that is revoked before its connection says hello is not let in', async () => {
  await withDoors(async ({ listen, registry, ask }) => {
    const url = (await listen()).replace('http', 'ws')
    const socket = new WebSocket(`${url}/v2/connect`, { headers: { authorization: 'Bearer ben' } })
    await once(socket, 'open')
    registry.put(put({ ...ben, state: 'revoked' }))
    socket.send(JSON.stringify([{ type: 'hello' }, { type: 'acquire', id: 1, name: 'stolen' }]))
    const [data] = await once(socket, 'message')
    assert.equal(JSON.parse(String(data))[0].error.code, 'forbidden')
    socket.terminate()
    assert.equal((await ask('GET', '/v2/locks/stolen')).status, 404)
  }, world)
})

test('the key in a hello is what counts, whatever certificate or header came with the upgrade; a wrong one proves nobody', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-hello-'))
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text, { mode: 0o600 })
    return join(directory, name)
  }
  const [authority, worker] = [new Authority('all'), 'cert:worker-7']
  const own = authority.issue('localhost')
  const { certificate: cert, key } = authority.issue('worker-7')
  const tls = ['--tls-cert', file('cert.pem', own.certificate), '--tls-key', file('key.pem', own.key)]
  const act = async (server: TestServer) => {
    const { id } = (await server.ask('POST', '/v2/instances', { body: { name: 't', plan: 'standard' } })).body
    const of = { headers: { 'holdfast-instance': id } }
    const made = await server.ask('POST', '/v2/credentials', { ...of, body: { name: 'k', roles: ['writer'] } })
    await server.ask('POST', '/v2/policies', { body: { subjects: [worker], roles: ['writer'] } })
    const url = `${server.url.replace('http', 'ws')}/v2/connect`
    const root = { authorization: `Bearer ${ROOT_KEY}` }
    const hello = async (upgrade: ClientOptions, presented: object, name: string) => {
      const socket = new WebSocket(url, { ca: authority.certificate, ...upgrade })
      await once(socket, 'open')
      // Under id 0 that it is not let in, under id 1 the grant.
      const replied = new Promise<{ error?: { code: string } }>(resolve =>
        socket.on('message', data => {
          for (const message of JSON.parse(String(data))) if (message.type === 'reply') resolve(message)
        }),
      )
      socket.send(
        JSON.stringify([
          { type: 'hello', ...presented },
          { type: 'acquire', id: 1, name },
        ]),
      )
      const { error } = await replied
      socket.terminate()
      return error?.code ?? 'granted'
    }
    for (const [name, upgrade] of Object.entries({ certificate: { cert, key }, header: { headers: root } })) {
      assert.equal(await hello(upgrade, { authorization: `Bearer ${made.body.api_key}` }, name), 'granted', name)
      assert.equal((await server.ask('GET', `/v2/locks/${name}`, of)).status, 200, 'it is the instance of the key')
      assert.equal((await server.ask('GET', `/v2/locks/${name}`)).status, 404, 'and not that of the upgrade')
      const wrong = { authorization: `Bearer hfk_nobody_${'A'.repeat(43)}` }
      assert.equal(await hello(upgrade, wrong, `${name}-wrong`), 'unauthenticated', name)
      assert.equal(await hello(upgrade, {}, `${name}-alone`), 'granted', name)
    }
    assert.equal(await hello({ headers: root }, root, 'same'), 'granted')
  }
  try {
    await withServer(act, { args: [...tls, '--client-ca', file('ca.pem', authority.certificate)] })
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('a stranger may send HELLO_CHARS_MAX characters before the hello has been accepted; one more is not even read', async () => {
  await withDoors(async ({ listen }) => {
    const url = (await listen()).replace('http', 'ws')
    const frame = (length: number) => {
      const text = JSON.stringify([{ type: 'hello', authorization: 'Bearer ann' }])
      return text + ' '.repeat(length - text.length)
    }
    const open = async (length: number) => {
      const socket = new WebSocket(`${url}/v2/connect`)
      await once(socket, 'open')
      const heard = Promise.race([
        once(socket, 'message').then(([data]) => JSON.parse(String(data))[0].type as string),
        once(socket, 'close').then(([code]) => code as number),
      ])
      socket.send(frame(length))
      const first = await heard
      socket.terminate()
      return first
    }
    assert.equal(await open(HELLO_CHARS_MAX), 'welcome')
    assert.equal(await open(HELLO_CHARS_MAX + 1), 1008)
  }, world)
})

test('an idempotency key is its sender’s: nobody is given the grant of another by it', async () => {
  await withDoors(async ({ ask }) => {
    const acquire = (by: string) =>
      ask('POST', '/v1/locks/pay/acquire', {
        key: by,
        body: { holder: 'worker' },
        headers: { 'idempotency-key': 'nightly-2026-11-22' },
      })
    const first = await acquire('ann')
    assert.equal(first.status, 200)
    assert.equal((await acquire('ann')).body.lock_id, first.body.lock_id)
    assert.equal((await acquire('ben')).status, 409)
    const session = String(first.body.lock_id).split('.')[0]
    const shown = await ask('GET', `/v2/sessions/${session}`, { key: 'ben' })
    assert.equal(shown.body.grants[0].request_id, 'nightly-2026-11-22')
  }, world)
})

test('to write the value with an acquire is a permission of its own, on either road', async () => {
  const holder: Put = {
    kind: 'role',
    id: keyWithin('default', 'holder'),
    value: { id: 'holder', instance: 'default', title: '', actions: ['lock.acquire', 'lock.release', 'session.open'] },
  }
  const only = policyRecord({ id: 'p', roles: ['holder'], locks: ['*'] })
  const puts = [...world.puts, holder, { kind: 'policy', id: 'p', value: only } as Put]
  await withDoors(
    async ({ ask, listen }) => {
      const opened = (await ask('POST', '/v2/sessions', { key: 'eve', body: {} })).body
      const session = `${opened.session_id}.${opened.session_secret}`
      const acquire = (body: object) => ask('POST', '/v2/locks/cfg/acquire', { key: 'eve', session, body })
      assert.equal((await acquire({ value: 'mine' })).status, 403)
      assert.equal((await acquire({})).status, 200)
      const socket = new WebSocket(`${(await listen()).replace('http', 'ws')}/v2/connect`, {
        headers: { authorization: 'Bearer eve' },
      })
      await once(socket, 'open')
      socket.send(JSON.stringify([{ type: 'hello' }, { type: 'acquire', id: 1, name: 'b', value: 'x' }]))
      const replies: { id?: number; error?: { code: string } }[] = []
      while (!replies.some(({ id }) => id === 1))
        replies.push(...JSON.parse(String((await once(socket, 'message'))[0])))
      assert.equal(replies.find(({ id }) => id === 1)?.error?.code, 'forbidden')
      socket.terminate()
    },
    { puts, people: { eve: person({ instance: 'default', subject: only.subjects[0] ?? 'eve' }) } },
  )
})
