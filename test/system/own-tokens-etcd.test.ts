/** Tokens for our own keys where there are several servers: given by one, good at the others at once, and ended everywhere with their key. */
import { strict as assert } from 'node:assert'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { asker } from '../harness/rest.ts'
import { type Servers, startServers } from '../harness/servers.ts'
import { asked, makeKey } from '../harness/teams.ts'

const APIKEY = 'urn:ibm:params:oauth:grant-type:apikey'
/** What is promised for a revocation, and what two busy cores are given. */
const KNOWN_MS_MAX = 5_000
const SLACK = 4
let servers: Servers

before(async () => {
  servers = await startServers({ servers: 2, etcd: { members: 1 }, flags: ['--accept-raw-keys=false'] })
})
after(() => servers.stop())

const urlOf = (place: number): string => servers.all[place]?.url ?? assert.fail('it was started')

async function tokenFrom(place: number, apikey: string): Promise<string> {
  const body = new URLSearchParams({ grant_type: APIKEY, apikey })
  const response = await fetch(`${urlOf(place)}/identity/token`, { method: 'POST', body })
  assert.equal(response.status, 200)
  // As the test of one server shows.
  return ((await response.json()) as { access_token: string }).access_token
}

async function statusAt(place: number, token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}` }
  return (await fetch(`${urlOf(place)}/v2/whoami`, { headers })).status
}

/** A key that both servers have heard of. */
async function newKey(): Promise<{ id: string; key: string }> {
  const made = await makeKey(asked(asker(urlOf(0))), { name: 'app', roles: ['writer'] })
  while ((await asker(urlOf(1))('GET', `/v2/credentials/${made.id}`)).status !== 200) await sleep(50)
  return made
}

test('a token of one server is good at the other at once, though nobody there has heard of its signer', async () => {
  const { key } = await newKey()
  for (const [from, to] of [
    [0, 1],
    [1, 0],
  ] as const)
    assert.equal(await statusAt(to, await tokenFrom(from, key)), 200)
})

test('a token outlives the server that gave it, and ends with its key', async () => {
  const { id, key } = await newKey()
  const tokens = [await tokenFrom(0, key), await tokenFrom(1, key)]
  await servers.all[0]?.kill()
  for (const token of tokens) assert.equal(await statusAt(1, token), 200)
  await servers.start(0)
  for (const token of tokens) assert.equal(await statusAt(0, token), 200)
  const revoked = await asker(urlOf(1))('POST', `/v2/credentials/${id}/revoke`, {})
  assert.equal(revoked.status, 200)
  const beganMs = performance.now()
  for (const token of tokens) for (const place of [1, 0]) while ((await statusAt(place, token)) !== 401) await sleep(20)
  assert.ok(performance.now() - beganMs < KNOWN_MS_MAX * SLACK)
})
