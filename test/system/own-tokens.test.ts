/** Holdfast as its own identity provider, by programs that nobody here wrote and by our library, where raw keys open nothing. */
import { strict as assert } from 'node:assert'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connect, HoldfastError, iamTokens } from '@holdfast/client'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import * as openid from 'openid-client'
import { cli } from '../harness/cli.ts'
import { temporaryFolder } from '../harness/process.ts'
import { type Ask, asker } from '../harness/rest.ts'
import { assertNowhere } from '../harness/secrets.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'

const APIKEY = 'urn:ibm:params:oauth:grant-type:apikey'
const folder = temporaryFolder('own-tokens')
let server: Server
let ask: Ask

before(async () => {
  const flags = ['--engine', 'memory', '--accept-raw-keys=false', '--log-requests']
  server = await startServer({ data: join(folder.path, 'data'), flags })
  ask = asker(server.url)
})
after(async () => {
  await server.stop()
  folder.remove()
})

let keys = 0

/** Of an instance of its own. */
async function newKey(): Promise<{ id: string; key: string; instance: string }> {
  const instance = String((await ask('POST', '/v2/instances', { name: `tokens-${++keys}`, plan: 'standard' })).body.id)
  const headers = { 'holdfast-instance': instance }
  const { body } = await ask('POST', '/v2/credentials', { name: 'app', roles: ['writer'] }, headers)
  // As the operation says.
  const { credential, api_key } = body as { credential: { id: string }; api_key: string }
  return { id: credential.id, key: api_key, instance }
}

function tokenFor(form: Record<string, string>, more: RequestInit = {}): Promise<Response> {
  return fetch(`${server.url}/identity/token`, { method: 'POST', body: new URLSearchParams(form), ...more })
}

async function whoami(credential: string): Promise<{ status: number; subject?: string }> {
  const response = await fetch(`${server.url}/v2/whoami`, { headers: { authorization: `Bearer ${credential}` } })
  // An error has no subject.
  const { subject } = (await response.json()) as { subject?: string }
  return { status: response.status, ...(subject && { subject }) }
}

test('openid-client discovers it, gets a token for a key, and jose verifies it by the published keys', async () => {
  const { id, key } = await newKey()
  const issuer = `${server.url}/identity`
  const configuration = await openid.discovery(new URL(issuer), 'default', undefined, openid.None(), {
    execute: [openid.allowInsecureRequests],
  })
  const form = { apikey: key, response_type: 'cloud_iam' }
  const answer = await openid.genericGrantRequest(configuration, APIKEY, form)
  assert.deepEqual([answer.token_type, answer.expires_in, answer.scope], ['bearer', 3_600, 'ibm openid'])
  const keys = createRemoteJWKSet(new URL(`${issuer}/keys`))
  const { payload } = await jwtVerify(answer.access_token, keys, {
    issuer,
    audience: 'holdfast',
    algorithms: ['RS256'],
  })
  assert.equal(payload.iam_id, `iam-ServiceId-${id}`)
  assert.deepEqual(await whoami(answer.access_token), { status: 200, subject: `key:${id}` })
  assert.deepEqual(await whoami(key), { status: 401 }, 'the key itself opens nothing here')
  await assert.rejects(openid.genericGrantRequest(configuration, APIKEY, { apikey: `${key}x` }))
})

test('what is no key of ours gets what IBM answers, and is in the trail; the root key is none', async () => {
  const { key, id } = await newKey()
  const wrong = `${key.slice(0, -5)}AAAAA`
  for (const apikey of [wrong, rootKey, '', 'x']) {
    const response = await tokenFor({ grant_type: APIKEY, apikey })
    // As IBM's.
    const body = (await response.json()) as { errorCode: string; error: string; context: { requestId: string } }
    assert.deepEqual([response.status, body.errorCode, body.error], [400, 'BXNIM0415E', 'invalid_grant'], apikey)
    assert.equal(response.headers.get('x-request-id'), body.context.requestId)
  }
  const other = await tokenFor({ grant_type: 'password', apikey: key })
  assert.deepEqual([other.status, /BXNIM0120E/.test(await other.text())], [400, true])
  const json = { body: JSON.stringify({ grant_type: APIKEY, apikey: key }) }
  const headers = { 'content-type': 'application/json' }
  assert.equal((await tokenFor({}, { ...json, headers })).status, 400)
  assert.equal((await tokenFor({}, { ...json, headers: { 'content-type': 'text/plain' } })).status, 415)
  assert.equal((await tokenFor({ grant_type: APIKEY, apikey: 'x'.repeat(3_000_000) })).status, 413)
  for (const [method, path, allow] of [
    ['GET', 'token', 'POST'],
    ['POST', 'keys', 'GET'],
    ['DELETE', '.well-known/openid-configuration', 'GET'],
  ] as const) {
    const response = await fetch(`${server.url}/identity/${path}`, { method })
    assert.deepEqual([response.status, response.headers.get('allow')], [405, allow], path)
  }
  const good = await tokenFor({ grant_type: APIKEY, apikey: key })
  assert.deepEqual([good.status, good.headers.get('cache-control')], [200, 'no-store'])
  const noted = async () => JSON.stringify((await ask('GET', '/v2/audit?limit=1000')).body).includes(id)
  for (let tries = 0; tries < 100 && !(await noted()); tries++) await new Promise(resolve => setTimeout(resolve, 100))
  assert.ok(await noted(), 'the key that was guessed at is named')
  assertNowhere([key, wrong], { 'all that it said': server.output() })
})

test('the library holds a lock by a token, and loses its connection when the key is revoked', async () => {
  const { id, key, instance } = await newKey()
  const holdfast = connect({ url: server.url, apiKey: iamTokens({ apiKey: key, url: `${server.url}/identity` }) })
  try {
    const lock = await holdfast.acquire('a-lock')
    assert.equal(lock.signal.aborted, false)
    const lost = new Promise(resolve => lock.signal.addEventListener('abort', resolve))
    const headers = { 'holdfast-instance': instance }
    const revoked = await ask('POST', `/v2/credentials/${id}/revoke`, { end_sessions: true }, headers)
    assert.equal(revoked.status, 200)
    await lost
    await assert.rejects(holdfast.rest.call('GET', '/v2/whoami'), error => error instanceof HoldfastError)
    assert.equal((await tokenFor({ grant_type: APIKEY, apikey: key })).status, 400)
  } finally {
    await holdfast.close()
  }
})

test('a token that was given goes with its key, and the command line gets its own', async () => {
  const { id, key, instance } = await newKey()
  const env = { HOLDFAST_API_KEY: undefined, HOLDFAST_IAM_API_KEY: key, HOLDFAST_IAM_URL: `${server.url}/identity` }
  const { code, stdout } = await cli(['whoami', '--json'], { url: server.url, env })
  assert.deepEqual([code, JSON.parse(stdout).subject], [0, `key:${id}`])
  // As IBM's.
  const { access_token } = (await (await tokenFor({ grant_type: APIKEY, apikey: key })).json()) as {
    access_token: string
  }
  assert.equal((await whoami(access_token)).status, 200)
  const headers = { 'holdfast-instance': instance }
  assert.equal((await ask('POST', `/v2/credentials/${id}/revoke`, {}, headers)).status, 200)
  assert.equal((await whoami(access_token)).status, 401)
})
