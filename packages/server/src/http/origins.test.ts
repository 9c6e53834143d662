/** Which web pages may use the service, over REST and over the WebSocket. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { ROOT_KEY, withServer } from '../testing.ts'

const friend = 'https://app.example.org'
const stranger = 'https://elsewhere.example.org'
const settings = { args: ['--allowed-origins', `https://other.example.org, ${friend}`] }
const preflight = { 'access-control-request-method': 'PUT', 'access-control-request-headers': 'authorization' }

test('a page of a named origin may ask and read, and sends its key itself', () =>
  withServer(async ({ ask }) => {
    const asked = await ask('OPTIONS', '/v2/locks/a', { key: null, headers: { origin: friend, ...preflight } })
    assert.equal(asked.status, 204)
    assert.equal(asked.headers['access-control-allow-origin'], friend)
    assert.match(asked.headers['access-control-allow-methods'] ?? '', /PUT/)
    assert.match(asked.headers['access-control-allow-headers'] ?? '', /authorization/)
    const answered = await ask('GET', '/v2/whoami', { headers: { origin: friend } })
    assert.equal(answered.status, 200)
    assert.equal(answered.headers['access-control-allow-origin'], friend)
    assert.equal(answered.headers.vary, 'Origin')
    assert.equal(answered.headers['access-control-allow-credentials'], undefined, 'never what the browser remembers')
    const refused = await ask('GET', '/v2/whoami', { key: null, headers: { origin: friend } })
    assert.equal(refused.status, 401)
    assert.equal(refused.headers['access-control-allow-origin'], friend, 'the page can read why')
    const missing = await ask('GET', '/no/such/path', { headers: { origin: friend } })
    assert.equal(missing.headers['access-control-allow-origin'], friend)
  }, settings))

test('a page of another origin is refused, even with a key that the browser remembers', () =>
  withServer(async ({ ask }) => {
    const asked = await ask('OPTIONS', '/v2/locks/a', { key: null, headers: { origin: stranger, ...preflight } })
    assert.equal(asked.status, 401)
    assert.equal(asked.headers['access-control-allow-origin'], undefined)
    for (const origin of [stranger, 'null', '', 'http://app.example.org', `${friend}:444`, `${friend}.evil`]) {
      const basic = `Basic ${Buffer.from(`user:${ROOT_KEY}`).toString('base64')}`
      const refused = await ask('POST', '/v2/sessions', { key: null, headers: { origin, authorization: basic } })
      assert.equal(refused.status, 403, origin)
      assert.equal(refused.body.errors[0].code, 'forbidden')
      assert.match(refused.body.errors[0].message, /allowed_origins/)
      assert.equal(refused.headers['access-control-allow-origin'], undefined)
    }
  }, settings))

test('by default only pages that the server itself serves, and programs, may use it', () =>
  withServer(async ({ ask, url }) => {
    assert.equal((await ask('GET', '/v2/whoami', { headers: { origin: friend } })).status, 403)
    assert.equal((await ask('GET', '/v2/whoami')).status, 200)
    const own = await ask('GET', '/v2/whoami', { headers: { origin: url, host: new URL(url).host } })
    assert.equal(own.status, 200)
    assert.equal(own.headers.vary, undefined)
    // Before a proxy that ends TLS.
    const secure = { origin: 'https://locks.example.org', host: 'Locks.Example.org' }
    assert.equal((await ask('GET', '/v2/whoami', { headers: secure })).status, 200)
    // What anybody may read, a page may cause to be sent and cannot read.
    const live = await ask('GET', '/livez', { headers: { origin: friend } })
    assert.deepEqual([live.status, live.headers['access-control-allow-origin']], [200, undefined])
  }))

test('a WebSocket is opened to pages of named origins and refused to those of others', () =>
  withServer(async ({ url }) => {
    const open = (origin: string, headers: Record<string, string> = {}) =>
      new WebSocket(`${url.replace('http', 'ws')}/v2/connect`, { origin, headers })
    const welcomed = open(friend)
    await once(welcomed, 'open')
    welcomed.send(JSON.stringify([{ type: 'hello', authorization: `Bearer ${ROOT_KEY}` }]))
    const [frame] = (await once(welcomed, 'message')) as [Buffer]
    assert.match(frame.toString(), /"type":"welcome"/)
    welcomed.close()
    const refused = open(stranger, { authorization: `Basic ${Buffer.from(`user:${ROOT_KEY}`).toString('base64')}` })
    const [error] = (await once(refused, 'error')) as [Error]
    assert.match(error.message, /403/)
  }, settings))
