import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseBlock } from '../policies/addresses.ts'
import { type TestServer, withServer } from '../testing.ts'
import { addressOf, foundAt } from './forwarded.ts'

test('the address is the socket’s, or what trusted proxies say, from the last untrusted hop on', () => {
  const trusted = ['10.0.0.0/8', '2001:db8::/32'].map(text => parseBlock(text)!)
  for (const [peer, forwarded, expected] of [
    ['192.0.2.1', '', '192.0.2.1'],
    ['::ffff:192.0.2.1', '', '192.0.2.1'],
    ['192.0.2.1', '203.0.113.9', '192.0.2.1'],
    ['10.0.0.1', '203.0.113.9', '203.0.113.9'],
    ['::ffff:10.0.0.1', ' 203.0.113.9 ', '203.0.113.9'],
    ['10.0.0.1', '198.51.100.1, 203.0.113.9', '203.0.113.9'],
    ['10.0.0.1', '198.51.100.1, 203.0.113.9, 10.0.0.2', '203.0.113.9'],
    ['10.0.0.1', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
    ['2001:db8::1', '2001:db9::7', '2001:db9::7'],
    ['10.0.0.1', '203.0.113.9:51234', '203.0.113.9'],
    ['10.0.0.1', '203.0.113.9, 10.0.0.2:443', '203.0.113.9'],
    ['10.0.0.1', '[2001:db9::7]:443', '2001:db9::7'],
    ['10.0.0.1', '[2001:db9::7]', '2001:db9::7'],
    ['10.0.0.1', 'unknown', '10.0.0.1'],
    ['10.0.0.1', '203.0.113.9, unknown, 10.0.0.2', '10.0.0.2'],
    ['10.0.0.1', '203.0.113.9, ', '10.0.0.1'],
  ] as const)
    assert.equal(addressOf({ peer, forwarded }, trusted), expected, `${peer} ${forwarded}`)
  assert.equal(addressOf({ peer: '10.0.0.1', forwarded: '203.0.113.9' }, []), '10.0.0.1', 'nobody is trusted')
})

test('where we were found is as Host says, or as the first of the trusted proxies does', () => {
  const trustedProxies = ['10.0.0.0/8'].map(text => parseBlock(text)!)
  for (const [peer, headers, expected] of [
    ['10.0.0.1', {}, 'http://own:1'],
    ['10.0.0.1', { proto: 'https', host: 'locks.example' }, 'https://locks.example'],
    ['::ffff:10.0.0.1', { proto: 'HTTPS', host: '[2001:db8::1]:8443' }, 'https://[2001:db8::1]:8443'],
    ['192.0.2.1', { proto: 'https', host: 'locks.example' }, 'http://own:1'],
    // Each appends: what the client wrote before them is not looked at.
    ['10.0.0.1', { proto: 'http, https', host: 'evil.example, locks.example' }, 'https://locks.example'],
    ['10.0.0.1', { for: '192.0.2.1, 10.0.0.2', proto: 'x, https, http', host: 'x,b,c' }, 'https://b'],
    // The inner one passes on what the outer one wrote.
    ['10.0.0.1', { for: '192.0.2.1, 10.0.0.2', proto: 'https', host: 'locks.example' }, 'https://locks.example'],
    ['10.0.0.1', { proto: 'javascript', host: 'a b' }, 'http://own:1'],
    ['10.0.0.1', { proto: '', host: 'a@b/c' }, 'http://own:1'],
    ['10.0.0.1', { proto: 'https', host: '1:2:3' }, 'https://own:1'],
  ] as const) {
    const sent = Object.fromEntries(Object.entries(headers).map(([name, value]) => [`x-forwarded-${name}`, value]))
    const found = { headers: sent, socket: { remoteAddress: peer }, protocol: 'http', host: 'own:1' } as const
    // Of the socket only the address is looked at.
    const at = (proxies: typeof trustedProxies) => foundAt(found as never, { trustedProxies: proxies })
    assert.equal(at(trustedProxies), expected, JSON.stringify([peer, headers]))
    assert.equal(at([]), 'http://own:1', 'nobody is trusted')
  }
})

const behindProxy = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'locks.example', host: 'inner:7420' }

async function urlsOf(server: TestServer, headers: Record<string, string>): Promise<string[]> {
  const page = await server.ask('GET', '/v2/locks', { headers })
  const discovery = await server.ask('GET', '/identity/.well-known/openid-configuration', { headers })
  const credential = await server.ask('POST', '/v2/credentials', { headers, body: { name: 'c' } })
  const broker = { service_id: '', plan_id: '' }
  const osb = { ...headers, 'x-broker-api-version': '2.17' }
  const [service] = (await server.ask('GET', '/broker/v2/catalog', { headers: osb })).body.services
  Object.assign(broker, { service_id: service.id, plan_id: service.plans[0].id })
  const instance = '/broker/v2/service_instances/00000000-0000-4000-8000-000000000000'
  await server.ask('PUT', instance, { headers: osb, body: { ...broker, context: {} } })
  const bound = await server.ask('PUT', `${instance}/service_bindings/b`, { headers: osb, body: broker })
  return [page.body.first.href, discovery.body.issuer, credential.body.url, bound.body.credentials?.url]
}

test('what we hand out leads back through the proxy by which it was asked for, if that is trusted', async () => {
  const act = (origin: string) => async (server: TestServer) =>
    assert.deepEqual(await urlsOf(server, behindProxy), [`${origin}/v2/locks`, `${origin}/identity`, origin, origin])
  await withServer(act('https://locks.example'), { args: ['--trusted-proxies', '127.0.0.1'] })
  await withServer(act('http://inner:7420'))
})

test('a Host that is none does not make a page fail', async () => {
  await withServer(async server => {
    const { status, body } = await server.ask('GET', '/v2/locks', { headers: { host: '1:2:3' } })
    assert.deepEqual([status, body.first?.href], [200, 'http://localhost/v2/locks'])
  })
})
