/** The library and the command line with tokens that expire: a lock outlives the token that it was acquired with. */
import { strict as assert } from 'node:assert'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connect, iamTokens, type SessionEvent } from '@holdfast/client'
import {
  exampleIdentities,
  type IamEmulator,
  startIamEmulator,
  systemClock,
  systemRandom,
} from '../../packages/server/src/iam-emulator/index.ts'
import { cli } from '../harness/cli.ts'
import { temporaryFolder } from '../harness/process.ts'
import { type Server, startServer } from '../harness/server.ts'

const ALICE = 'IBMid-270000ALICE'
const ALICES_KEY = 'emulator-key-of-alice-only-for-tests'
const folder = temporaryFolder('identity-library')
let emulator: IamEmulator
let server: Server

before(async () => {
  const listen = { host: '127.0.0.1', port: 0 }
  emulator = await startIamEmulator({ account: exampleIdentities, listen, clock: systemClock, random: systemRandom })
  const file = join(folder.path, 'issuers.json')
  const issuer = { name: 'emulator', kind: 'ibm', issuer: emulator.issuer, clock_skew_ms: 0 }
  writeFileSync(file, JSON.stringify({ issuers: [issuer] }))
  server = await startServer({ data: join(folder.path, 'data'), flags: ['--issuers', file] })
  const args = [
    'policy',
    'create',
    '--subject',
    `iam:${ALICE}`,
    '--role',
    'writer',
    '--role',
    'viewer',
    '--lock',
    'alice/*',
  ]
  const { code, stderr } = await cli(args, { url: server.url })
  assert.equal(code, 0, stderr)
})
after(async () => {
  await server?.stop()
  await emulator?.close()
  folder.remove()
})

test('with an API key of IAM the library holds what its policies grant, and is refused what they do not', async () => {
  const holdfast = connect({ url: server.url, apiKey: iamTokens({ apiKey: ALICES_KEY, url: emulator.issuer }) })
  const lock = await holdfast.acquire('alice/1')
  await assert.rejects(holdfast.acquire('bob/1'), /does not permit/)
  await lock.release()
  await holdfast.close()
})

test('the command line exchanges the key by itself', async () => {
  const env = { HOLDFAST_IAM_API_KEY: ALICES_KEY, HOLDFAST_IAM_URL: emulator.issuer }
  const ran = await cli(['run', 'alice/cli', '--', 'sh', '-c', 'echo held $HOLDFAST_LOCK'], { url: server.url, env })
  assert.deepEqual([ran.code, ran.stdout.trim()], [0, 'held alice/cli'])
  assert.notEqual((await cli(['run', 'bob/cli', '--', 'true'], { url: server.url, env })).code, 0)
})

test('a lock outlives the token: when it expires the connection is made again with another, and nothing is lost', async () => {
  const events: SessionEvent[] = []
  let tokens = 0
  const apiKey = () => {
    tokens++
    const exp = Math.floor(Date.now() / 1_000) + 3
    return emulator.signing.sign(emulator.identity(ALICE), 'test', { exp })
  }
  const holdfast = connect({ url: server.url, apiKey, ttlMs: 30_000, onEvent: event => events.push(event) })
  const lock = await holdfast.acquire('alice/long')
  const resumed = () => events.filter(({ type }) => type === 'session_resumed').length
  while (resumed() < 2) await new Promise(resolve => setTimeout(resolve, 50))
  assert.ok(tokens >= 3, `${tokens} tokens`)
  assert.equal(lock.signal.aborted, false)
  await lock.release()
  await holdfast.close()
})
