/** Identities over real sockets: a server as a process, the emulator as the issuer, and everything that the server has said searched for secrets. */
import { strict as assert } from 'node:assert'
import { writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import {
  exampleIdentities,
  type IamEmulator,
  startIamEmulator,
  systemClock,
  systemRandom,
} from '../../packages/server/src/iam-emulator/index.ts'
import { Authority, type Pair } from '../harness/certificates.ts'
import { type Cli, startCli } from '../harness/cli.ts'
import { freePort, temporaryFolder } from '../harness/process.ts'
import { assertNowhere } from '../harness/secrets.ts'
import { rootKey } from '../harness/server.ts'

const folder = temporaryFolder('identity')
const secrets: string[] = [rootKey]
let emulator: IamEmulator
let server: Cli
let url = ''

before(async () => {
  const listen = { host: '127.0.0.1', port: 0 }
  emulator = await startIamEmulator({ account: exampleIdentities, listen, clock: systemClock, random: systemRandom })
  const issuers = join(folder.path, 'issuers.json')
  writeFileSync(issuers, JSON.stringify({ issuers: [{ name: 'emulator', kind: 'ibm', issuer: emulator.issuer }] }))
  const port = await freePort()
  url = `http://127.0.0.1:${port}`
  const flags = ['--listen', `127.0.0.1:${port}`, '--data', join(folder.path, 'data'), '--engine', 'memory']
  // All that it can be made to say.
  const logs = ['--log-level', 'debug', '--log-requests']
  const env = { HOLDFAST_ROOT_KEY: rootKey }
  server = startCli(['serve', ...flags, ...logs, '--issuers', issuers], { url, env })
  await server.says(/"msg":"listening"/)
})
after(async () => {
  server?.child.kill('SIGTERM')
  await server?.ended
  await emulator?.close()
  folder.remove()
})

/** The status, and whom the server takes it for. */
async function whoami(
  credential: string,
): Promise<{ status: number; subject: string | undefined; retryAfter: string | null; text: string }> {
  secrets.push(credential)
  const response = await fetch(`${url}/v2/whoami`, { headers: { authorization: `Bearer ${credential}` } })
  const text = await response.text()
  // An error has no subject.
  const { subject } = JSON.parse(text) as { subject?: string }
  return { status: response.status, subject, retryAfter: response.headers.get('retry-after'), text }
}

const said: string[] = []

test('a token of the emulator says who is calling', async () => {
  const alice = emulator.identity('IBMid-270000ALICE')
  const first = await whoami(await emulator.signing.sign(alice, 'test'))
  assert.deepEqual([first.status, first.subject], [200, 'iam:IBMid-270000ALICE'])
})

test('beside IBM Cloud IAM an API key opens nothing, and the root key goes on', async () => {
  const headers = { authorization: `Bearer ${rootKey}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ name: 'raw', roles: ['manager', 'administrator'] })
  const made = await fetch(`${url}/v2/credentials`, { method: 'POST', headers, body })
  assert.equal(made.status, 201)
  // As the operation says.
  const { api_key } = (await made.json()) as { api_key: string }
  assert.equal((await whoami(api_key)).status, 401)
})

test('while the issuer is away known keys go on, and what names another is 503, not 401', async () => {
  const alice = emulator.identity('IBMid-270000ALICE')
  const known = await emulator.signing.sign(alice, 'test')
  await emulator.signing.rotate()
  const unknown = await emulator.signing.sign(alice, 'test')
  await emulator.close()
  assert.equal((await whoami(known)).status, 200)
  assert.equal((await whoami(unknown)).status, 503)
})

test('guessing ends in 429, and who was in before stays in', async () => {
  assert.equal((await whoami(rootKey)).status, 200)
  const statuses = new Set<number>()
  for (let guess = 0; guess < 40; guess++) {
    const answer = await whoami(`canary-guess-${guess}-0123456789`)
    statuses.add(answer.status)
    said.push(answer.text)
    if (answer.status === 429) assert.match(answer.retryAfter ?? '', /^[0-9]+$/)
  }
  assert.deepEqual([...statuses], [401, 429])
  assert.equal((await whoami(rootKey)).status, 200)
})

test('nothing that the server has said holds a secret', async () => {
  server.child.kill('SIGTERM')
  const { stdout, stderr } = await server.ended
  const all = [stdout, stderr, ...said].join('\n')
  assert.match(all, /too many failed logins/)
  assert.match(all, /"route":"\/v2\/whoami"/)
  assertNowhere(secrets, { 'all that it said': all })
})

type Seen = { status: number; subject: string | undefined }

function secured(
  port: number,
  { ca, client, authorization }: { ca: string; client?: Pair; authorization?: string },
): Promise<Seen> {
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port,
      path: '/v2/whoami',
      ca,
      agent: false,
      ...(client && { cert: client.certificate, key: client.key }),
      ...(authorization && { headers: { authorization } }),
    }
    const sent = request(options, response => {
      let text = ''
      response.on('data', data => {
        text += data
      })
      // An error has no subject.
      response.on('end', () => resolve({ status: response.statusCode ?? 0, subject: JSON.parse(text).subject }))
    })
    sent.on('error', reject)
    sent.end()
  })
}

test('a client certificate says who is calling, if the right authority has signed it and nothing else was sent', async () => {
  const [servers, clients, strangers] = ['servers', 'clients', 'strangers'].map(name => new Authority(name))
  assert.ok(servers && clients && strangers)
  const own = servers.issue('holdfast')
  const path = (name: string, content: string) => {
    const file = join(folder.path, name)
    writeFileSync(file, content, { mode: 0o600 })
    return file
  }
  const port = await freePort()
  const tls = ['--tls-cert', path('tls.crt', own.certificate), '--tls-key', path('tls.key', own.key)]
  const listen = ['--listen', `127.0.0.1:${port}`, '--data', join(folder.path, 'tls'), '--engine', 'memory']
  const flags = [...listen, ...tls, '--client-ca', path('clients.crt', clients.certificate)]
  const running = startCli(['serve', ...flags], { url: '', env: { HOLDFAST_ROOT_KEY: rootKey } })
  try {
    await running.says(/"msg":"listening"/)
    const ca = servers.certificate
    const worker = clients.issue('worker-7')
    const nobody = { status: 401, subject: undefined }
    const root = `Bearer ${rootKey}`
    assert.deepEqual(await secured(port, { ca, client: worker }), { status: 200, subject: 'cert:worker-7' })
    assert.deepEqual(await secured(port, { ca, client: worker, authorization: 'Bearer wrong-0123456789' }), nobody)
    assert.deepEqual(await secured(port, { ca, client: worker, authorization: root }), { status: 200, subject: 'root' })
    assert.deepEqual(await secured(port, { ca, client: strangers.issue('worker-7') }), nobody)
    assert.deepEqual(await secured(port, { ca, client: servers.issue('worker-7') }), nobody)
    assert.deepEqual(await secured(port, { ca }), nobody)
    assert.deepEqual(await secured(port, { ca, authorization: root }), { status: 200, subject: 'root' })
  } finally {
    running.child.kill('SIGTERM')
    await running.ended
  }
})
