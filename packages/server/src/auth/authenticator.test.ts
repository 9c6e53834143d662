/** All of it together, as the doors use it, against the emulator over real sockets; and that no secret is ever told to anybody. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { inspect } from 'node:util'
import { HoldfastError } from '@holdfast/protocol/errors'
import { exampleIdentities, type IamEmulator, startIamEmulator } from '../iam-emulator/index.ts'
import { systemRandom } from '../random.ts'
import { credentialRecord, type MemoryRegistry, memoryRegistry } from '../registry/testing.ts'
import { FakeClock } from '../shards/testing.ts'
import { mintKey } from './api-keys.ts'
import { type AuthenticatorConfig, createAuthenticator } from './authenticator.ts'
import type { Identity, Presented } from './identity.ts'
import type { IssuerConfig } from './issuer.ts'
import type { LastUse } from './last-uses.ts'
import { ADDRESS_FAILURES_MAX, KEY_FAILURES_MAX } from './login-limits.ts'
import type { OwnToken } from './own-tokens.ts'
import { plainIssuer } from './testing.ts'

const ROOT = 'canary-root-key-0123456789'
const clock = new FakeClock()
let emulator: IamEmulator
let ibm: IssuerConfig

before(async () => {
  const listen = { host: '127.0.0.1', port: 0 }
  emulator = await startIamEmulator({ account: exampleIdentities, listen, clock, random: systemRandom })
  const { account } = exampleIdentities
  ibm = { ...plainIssuer, name: 'ibm', kind: 'ibm', issuer: emulator.issuer, audiences: [], accounts: [account] }
})
after(() => emulator.close())

type Opened = {
  registry: MemoryRegistry
  ask(
    authorization: string | undefined,
    more?: Partial<Presented>,
  ): ReturnType<ReturnType<typeof createAuthenticator>['authenticate']>
  exchange(apiKey: string): Promise<OwnToken | null>
  said: unknown[]
  uses: LastUse[]
  close(): Promise<void>
}

function open(more: Partial<AuthenticatorConfig> = {}): Opened {
  const registry = memoryRegistry()
  const said: unknown[] = []
  const uses: LastUse[] = []
  const authenticator = createAuthenticator({
    registry,
    rootKey: ROOT,
    config: { issuers: [ibm], acceptsRawKeys: true, acceptsCertificates: false, ...more },
    clock,
    random: systemRandom,
    storeLastUses: given => void uses.push(...given),
    warn: (message, fields) => said.push({ message, ...fields }),
  })
  const ask: Opened['ask'] = (authorization, presented) =>
    authenticator.authenticate({ authorization, address: '192.0.2.1', certificate: null, ...presented })
  const exchange = (apiKey: string) =>
    authenticator.ownTokens.exchange({ apiKey, address: '192.0.2.1', issuer: 'https://here' })
  return { registry, said, uses, ask, exchange, close: () => authenticator.close() }
}

function keyIn(registry: MemoryRegistry, id = 'k-1', more: object = {}): string {
  const { key, secretHash } = mintKey(systemRandom, id)
  registry.put({ kind: 'credential', id, value: credentialRecord({ id, secretHash, ...more }) })
  return key
}

const tokenOf = async (apikey: string): Promise<string> => {
  const body = new URLSearchParams({ grant_type: 'urn:ibm:params:oauth:grant-type:apikey', apikey })
  const response = await fetch(`${emulator.issuer}/token`, { method: 'POST', body })
  // As the emulator's own tests show.
  return ((await response.json()) as { access_token: string }).access_token
}

const basic = (password: string) => `Basic ${Buffer.from(`any:${password}`).toString('base64')}`
const isLimited = (error: unknown) => error instanceof HoldfastError && error.code === 'rate_limited'
const now = (answer: Identity | null | Promise<Identity | null>): Identity | null => {
  assert.ok(!(answer instanceof Promise), 'answered at once')
  return answer
}

test('the root key opens as ever, as bearer and as password, whatever it looks like', async () => {
  const { ask, close } = open()
  for (const header of [`Bearer ${ROOT}`, `bearer ${ROOT}`, basic(ROOT)])
    assert.deepEqual(
      [now(ask(header))?.subject, now(ask(header))?.kind, now(ask(header))?.instance],
      ['root', 'root', null],
    )
  for (const header of ['', 'Bearer', `Bearer ${ROOT}x`, `Bearer ${ROOT.slice(1)}`, `Digest ${ROOT}`, undefined])
    assert.equal(now(ask(header)), null, header)
  await close()
  for (const rootKey of [`hfk_root_${'x'.repeat(43)}`, 'eyJhbGciOiJub25lIn0.e30.x']) {
    const config = { issuers: [ibm], acceptsRawKeys: false, acceptsCertificates: false }
    const options = {
      registry: memoryRegistry(),
      rootKey,
      config,
      clock,
      random: systemRandom,
      storeLastUses: () => undefined,
      warn: () => undefined,
    }
    const { authenticate, close: closeIt } = createAuthenticator(options)
    assert.equal(
      now(authenticate({ authorization: `Bearer ${rootKey}`, address: '', certificate: null }))?.subject,
      'root',
    )
    await closeIt()
  }
})

test('an API key opens at once, its use is noted, and what becomes of it counts from the next request on', async () => {
  const { ask, registry, uses, close } = open()
  const key = keyIn(registry)
  assert.equal(now(ask(`Bearer ${key}`))?.subject, 'key:k-1')
  assert.equal(now(ask(basic(key)))?.credential, 'k-1')
  const record = registry.get('credential', 'k-1')!
  registry.put({ kind: 'credential', id: 'k-1', value: { ...record, state: 'revoked' } })
  assert.equal(now(ask(`Bearer ${key}`)), null)
  await close()
  assert.deepEqual(uses, [{ credential: 'k-1', atMs: clock.wallMs() }])
})

test('where raw keys are not accepted only tokens and the root key open', async () => {
  const { ask, registry, close } = open({ acceptsRawKeys: false })
  assert.equal(now(ask(`Bearer ${keyIn(registry)}`)), null)
  assert.equal(now(ask(`Bearer ${ROOT}`))?.kind, 'root')
  const token = await tokenOf('emulator-key-of-alice-only-for-tests')
  assert.equal((await ask(`Bearer ${token}`))?.subject, 'iam:IBMid-270000ALICE')
  await close()
})

test('each kind of identity of IBM is let in with its own token, at once from the second time on', async () => {
  const { ask, close } = open()
  const account = exampleIdentities.account
  for (const identity of exampleIdentities.identities) {
    const token = await emulator.signing.sign(identity, 'test')
    const found = await ask(`Bearer ${token}`)
    assert.deepEqual([found?.subject, found?.account, found?.scope], [`iam:${identity.iam_id}`, account, 'ibm openid'])
    assert.equal(now(ask(`Bearer ${token}`)), found)
  }
  const alice = emulator.identity('IBMid-270000ALICE')
  for (const foreign of [{ account: { bss: 'other', valid: true } }, { iss: 'https://iam.cloud.ibm.com/identity' }])
    assert.equal(await ask(`Bearer ${await emulator.signing.sign(alice, 'test', foreign)}`), null)
  await close()
})

test('the emulator changes its keys while running: tokens go on, and are gone with the key they were signed with', async () => {
  const { ask, close } = open()
  const alice = emulator.identity('IBMid-270000ALICE')
  const before = await emulator.signing.sign(alice, 'test')
  assert.ok(await ask(`Bearer ${before}`))
  await fetch(`${emulator.issuer}/keys/rotate`, { method: 'POST' })
  assert.ok(await ask(`Bearer ${await emulator.signing.sign(alice, 'test')}`), 'signed with the new key')
  assert.ok(await ask(`Bearer ${before}`))
  await fetch(`${emulator.issuer}/keys/rotate?withdraw=true`, { method: 'POST' })
  clock.pause(10_000)
  assert.ok(await ask(`Bearer ${await emulator.signing.sign(alice, 'test')}`), 'which is how the new set became known')
  assert.equal(await ask(`Bearer ${before}`), null)
  await close()
})

test('a certificate says who is calling only where that is wanted, and only if nothing else does', async () => {
  const certificate = { name: 'worker-7', fingerprint: 'AA', expiresAtMs: clock.wallMs() + 1_000 }
  const off = open()
  assert.equal(now(off.ask(undefined, { certificate })), null)
  await off.close()
  const { ask, close } = open({ acceptsCertificates: true })
  const found = now(ask(undefined, { certificate }))
  assert.deepEqual(
    [found?.subject, found?.kind, found?.roles, found?.instance],
    ['cert:worker-7', 'certificate', [], null],
  )
  assert.equal(found?.expiresAtMs, certificate.expiresAtMs)
  assert.equal(now(ask('Bearer something-wrong', { certificate })), null)
  assert.equal(now(ask('', { certificate })), null)
  assert.equal(now(ask(`Bearer ${ROOT}`, { certificate }))?.subject, 'root')
  clock.pause(1_000)
  assert.equal(now(ask(undefined, { certificate })), null)
  await close()
})

test('guessing from one address ends in waiting, and those who were in from there stay in', async () => {
  const { ask, registry, said, close } = open()
  const key = keyIn(registry)
  assert.ok(now(ask(`Bearer ${key}`)))
  for (let guess = 0; guess < ADDRESS_FAILURES_MAX; guess++)
    assert.equal(now(ask(`Bearer guess-number-${guess}`)), null)
  assert.throws(() => ask('Bearer one-guess-more'), isLimited)
  assert.throws(() => ask(`Bearer ${ROOT}`), isLimited)
  assert.ok(now(ask(`Bearer ${key}`)), 'was good from here before')
  assert.ok(now(ask(`Bearer ${ROOT}`, { address: '192.0.2.2' })))
  assert.equal(now(ask(undefined)), null, 'who presents nothing guesses nothing')
  assert.equal(said.length, 1)
  clock.pause(60 * 60_000)
  assert.ok(now(ask(`Bearer ${ROOT}`)))
  await close()
})

test('others’ guesses shut out nobody who goes on with another token: of a key that is good from there, or of an issuer', async () => {
  const { ask, exchange, registry, close } = open()
  const key = keyIn(registry)
  assert.ok(now(ask(`Bearer ${key}`)))
  const [alice, bob] = [emulator.identity('IBMid-270000ALICE'), emulator.identity('IBMid-270000BOB')]
  assert.ok(await ask(`Bearer ${await emulator.signing.sign(alice, 'test')}`))
  for (let guess = 0; guess < ADDRESS_FAILURES_MAX; guess++) now(ask(`Bearer guess-number-${guess}`))
  assert.throws(() => ask('Bearer one-guess-more'), isLimited)
  const minted = await exchange(key)
  assert.ok(await ask(`Bearer ${minted?.text}`))
  clock.pause(1_000)
  const renewed = await emulator.signing.sign(alice, 'test')
  const [header, payload] = renewed.split('.')
  assert.equal(await ask(`Bearer ${header}.${payload}.AAAA`), null, 'looked at, and not believed')
  assert.ok(await ask(`Bearer ${renewed}`))
  const other = await emulator.signing.sign(bob, 'test')
  await assert.rejects(async () => ask(`Bearer ${other}`), isLimited)
  await close()
})

test('guessing the secret of one key ends in waiting, wherever the guesses come from', async () => {
  const { ask, registry, close } = open()
  const key = keyIn(registry)
  assert.ok(now(ask(`Bearer ${key}`, { address: '198.51.100.1' })))
  const other = keyIn(registry, 'k-2')
  const guess = () => mintKey(systemRandom, 'k-1').key
  for (let from = 0; from < KEY_FAILURES_MAX; from++)
    assert.equal(now(ask(`Bearer ${guess()}`, { address: `192.0.2.${from}` })), null)
  assert.throws(() => ask(`Bearer ${guess()}`, { address: '203.0.113.1' }), isLimited)
  assert.ok(now(ask(`Bearer ${key}`, { address: '198.51.100.1' })))
  assert.ok(now(ask(`Bearer ${other}`, { address: '203.0.113.1' })))
  await close()
})

test('wrong tokens are guesses; keys that have ended and tokens that have expired are none', async () => {
  const { ask, registry, close } = open()
  const alice = emulator.identity('IBMid-270000ALICE')
  const expired = await emulator.signing.sign(alice, 'test', { exp: clock.wallMs() / 1_000 - 31 })
  const ended = keyIn(registry, 'k-1', { state: 'revoked' })
  for (let count = 0; count < 2 * ADDRESS_FAILURES_MAX; count++) {
    assert.equal(await ask(`Bearer ${expired}`), null)
    assert.equal(now(ask(`Bearer ${ended}`)), null)
  }
  const [header, payload] = (await emulator.signing.sign(alice, 'test')).split('.')
  for (let count = 0; count < ADDRESS_FAILURES_MAX; count++)
    assert.equal(await ask(`Bearer ${header}.${payload}.${Buffer.from(`forged ${count}`).toString('base64url')}`), null)
  await assert.rejects(async () => ask(`Bearer ${header}.${payload}.AAAA`), isLimited)
  await close()
})

test('no secret is in anything that is said, thrown or answered', async () => {
  const { ask, registry, said, uses, close } = open()
  const key = keyIn(registry)
  const secret = key.slice('hfk_k-1_'.length)
  const guess = mintKey(systemRandom, 'k-1').key
  const alice = emulator.identity('IBMid-270000ALICE')
  const token = await emulator.signing.sign(alice, 'test', { canary: 'canary-of-a-claim' })
  const forged = `${token.slice(0, -20)}${'A'.repeat(20)}`
  const unknown = await emulator.signing.sign(alice, 'test')
  const told: unknown[] = []
  const all = [ROOT, `${ROOT}-wrong`, key, guess, token, forged, unknown, 'ey.ey.ey', `ey${'x'.repeat(8_300)}`]
  const [, , signature = ''] = token.split('.')
  for (let round = 0; round < 2 * ADDRESS_FAILURES_MAX; round++)
    for (const text of all)
      for (const header of [`Bearer ${text}`, basic(text)]) {
        try {
          told.push(await ask(header))
        } catch (error) {
          told.push(error)
        }
      }
  await close()
  const text = [...told, ...said, ...uses].map(one => inspect(one, { depth: 10, showHidden: true })).join('\n')
  assert.match(text, /rate_limited/)
  assert.match(text, /key:k-1/)
  for (const canary of [
    ROOT,
    secret,
    guess.slice('hfk_k-1_'.length),
    signature,
    forged.slice(-60),
    'canary-of-a-claim',
    'Bearer ',
    'x'.repeat(100),
  ])
    assert.ok(!text.includes(canary), canary)
})
