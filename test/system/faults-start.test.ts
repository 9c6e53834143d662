/** Servers that start before their etcd, and servers that do not reach each other. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '@holdfast/client'
import { startEtcd } from '../harness/etcd.ts'
import { freePort, temporaryFolder } from '../harness/process.ts'
import { startProxy } from '../harness/proxy.ts'
import { type Ask, asker, openSession } from '../harness/rest.ts'
import { rootKey, type Server, spawnServer, startServer } from '../harness/server.ts'
import { ownerOf } from '../harness/witness/owner.ts'

test('a server that starts while etcd is away, or has no quorum, waits for it and says so', async () => {
  const folder = temporaryFolder('early')
  const etcd = await startEtcd({ members: 3 })
  const flags = ['--engine', 'etcd', '--etcd', etcd.urls.join(',')]
  const [last, ...others] = etcd.members
  for (const member of others) await member.kill()
  const second = await spawnServer({ data: `${folder.path}/second`, flags })
  const servers = [second]
  try {
    await says(second, /the store does not answer yet; waiting/)
    await last!.kill()
    const first = await spawnServer({ data: `${folder.path}/first`, flags })
    servers.push(first)
    await says(first, /no etcd member answers \(.*\); waiting/)
    for (const member of etcd.members) etcd.start(member)
    for (const server of servers) await ready(server)
    await openSession(asker(first.url), 5_000)
  } finally {
    await Promise.all(servers.map(server => server.kill()))
    await etcd.stop()
    folder.remove()
  }
})

test('a server that is told to stop while etcd is away ends all the same, and says what it could not do', async () => {
  const folder = temporaryFolder('stop')
  const etcd = await startEtcd()
  const server = await startServer({ data: folder.path, flags: ['--engine', 'etcd', '--etcd', etcd.urls.join(',')] })
  try {
    await openSession(asker(server.url), 60_000)
    for (const member of etcd.members) await member.kill()
    assert.equal(await server.stop(), 1)
    assert.match(server.output(), /The store has not answered.*others take over/)
  } finally {
    await server.kill()
    await etcd.stop()
    folder.remove()
  }
})

async function ready(server: Server): Promise<void> {
  for (let tries = 0; (await fetch(`${server.url}/readyz`).catch(() => null))?.ok !== true; tries++) {
    assert.ok(tries < 300, server.output())
    await sleep(100)
  }
}

async function says(server: Server, what: RegExp): Promise<void> {
  for (let tries = 0; !what.test(server.output()); tries++) {
    assert.ok(tries < 300, `it never said ${what}: ${server.output()}`)
    assert.equal(server.child.exitCode, null, server.output())
    await sleep(100)
  }
}

/** Each tells the others an address that can be cut. */
async function behindProxies(act: (at: { servers: Server[]; cut(): void; heal(): void }) => Promise<void>) {
  const folder = temporaryFolder('apart')
  const etcd = await startEtcd()
  const ports = [await freePort(), await freePort()]
  const proxies = await Promise.all(ports.map(port => startProxy(port)))
  const starting = ports.map((port, place) => {
    const own = ['--server-name', `server-${place}`, '--advertise', proxies[place]!.url]
    const flags = ['--engine', 'etcd', '--etcd', etcd.urls.join(','), ...own]
    return startServer({ data: `${folder.path}/${place}`, port, flags })
  })
  const servers = await Promise.all(starting)
  try {
    await act({
      servers,
      cut: () => proxies.forEach(proxy => void proxy.cut()),
      heal: () => proxies.forEach(proxy => void proxy.heal()),
    })
  } finally {
    await Promise.all(servers.map(server => server.kill()))
    await Promise.all(proxies.map(proxy => proxy.close()))
    await etcd.stop()
    folder.remove()
  }
}

async function acquire(ask: Ask, session: string, lock: string): Promise<{ status: number; code: unknown }> {
  const { status, body } = await ask('POST', `/v2/locks/${lock}/acquire`, {}, { 'holdfast-session': session })
  const errors = body.errors as { code: string }[] | undefined // the shape of errors
  return { status, code: errors?.[0]?.code }
}

test('servers that reach etcd and not each other: the one that decides serves, the other says `unavailable`, the library finds the way', () =>
  behindProxies(async ({ servers, cut, heal }) => {
    const session = await openSession(asker(servers[0]!.url), 60_000)
    const first = await acquire(asker(servers[0]!.url), session, 'a')
    assert.equal(first.status, 200)
    await sleep(3_000)
    const owner = await ownerOf({ all: servers })
    const other = 1 - owner
    assert.equal((await acquire(asker(servers[other]!.url), session, 'forwarded')).status, 200)
    // It knows the other one only, at first.
    const client = connect({ url: [servers[other]!.url, servers[owner]!.url], apiKey: rootKey })
    const held = await client.acquire('held')
    cut()
    assert.equal((await acquire(asker(servers[owner]!.url), session, 'b')).status, 200)
    assert.deepEqual(await acquire(asker(servers[other]!.url), session, 'c'), { status: 503, code: 'unavailable' })
    const lock = await client.acquire('d')
    assert.ok(held.isHeld && lock.token > held.token)
    heal()
    await sleep(500)
    assert.equal((await acquire(asker(servers[other]!.url), session, 'e')).status, 200)
    await client.close()
  }))
