/** Identities over real sockets: a server as a process, the emulator as the issuer, and everything that the server has said searched for secrets. */
import { strict as assert } from 'node:assert'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import {
  exampleIdentities,
  type IamEmulator,
  startIamEmulator,
  systemClock,
  systemRandom,
} from '../../packages/server/src/iam-emulator/index.ts'
import { type Cli, startCli } from '../harness/cli.ts'
import { freePort, temporaryFolder } from '../harness/process.ts'
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
  for (const secret of secrets) {
    assert.ok(!all.includes(secret), secret)
    // Of a token what cannot be seen by whoever does not have it.
    assert.ok(!all.includes(secret.split('.').at(-1) ?? ''), secret)
  }
})
