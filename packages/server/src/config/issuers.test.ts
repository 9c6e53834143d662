import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { ConfigError, readConfig } from './config.ts'
import { CLOCK_SKEW_MS_MAX, ISSUERS_MAX } from './issuers.ts'

const directory = mkdtempSync(join(tmpdir(), 'holdfast-issuers-'))
after(() => rmSync(directory, { recursive: true }))

function read(content: unknown, more: string[] = []) {
  const file = join(directory, 'issuers.json')
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  return readConfig({ args: ['--issuers', file, ...more], env: {} })
}

const oidc = { name: 'corporate', issuer: 'https://login.example.org', audience: 'holdfast' }
const fails = (message: RegExp, content: unknown) =>
  assert.throws(
    () => read(content),
    error => error instanceof ConfigError && message.test(error.message),
    String(message),
  )
const failsWith = (message: RegExp, more: object) => fails(message, { issuers: [{ ...oidc, ...more }] })

test('an issuer needs a name, itself and an audience; the rest is as usual', () => {
  assert.deepEqual(readConfig({ args: [], env: {} }).issuers, [])
  assert.deepEqual(read({ issuers: [oidc] }).issuers, [
    {
      name: 'corporate',
      kind: 'oidc',
      issuer: 'https://login.example.org',
      audiences: ['holdfast'],
      jwksUri: null,
      algorithms: ['RS256', 'ES256', 'PS256', 'EdDSA'],
      clockSkewMs: 30_000,
      subjectClaim: null,
      groupsClaim: null,
      accounts: null,
      instance: null,
      authoritiesFile: null,
      bearerFile: null,
    },
  ])
  const { kind, audiences, accounts } = read({
    issuers: [{ name: 'ibm', kind: 'ibm', issuer: 'https://iam.cloud.ibm.com/identity', accounts: ['a1'] }],
  }).issuers[0]!
  assert.deepEqual({ kind, audiences, accounts }, { kind: 'ibm', audiences: [], accounts: ['a1'] })
})

test('whatever would let in more than was meant is refused', () => {
  failsWith(/`audience` .* is missing/, { audience: undefined })
  for (const algorithm of ['none', 'HS256', 'RSA1_5', 'rs256', ''])
    failsWith(/`algorithms`/, { algorithms: ['RS256', algorithm] })
  failsWith(/must be an https URL/, { issuer: 'http://login.example.org' })
  failsWith(/`jwks_uri` .* https URL/, { jwks_uri: 'http://login.example.org/keys' })
  failsWith(/https URL/, { jwks_uri: 'https://user:password@login.example.org/keys' })
  failsWith(/for the kind ibm only/, { accounts: ['a'] })
  failsWith(/must be 1 to 64 lower-case/, { name: 'a:b' })
  failsWith(/must be 1 to 64 lower-case/, { instance: 'A' })
  fails(/`name` `corporate` is there twice/, { issuers: [oidc, { ...oidc, issuer: 'https://b.example' }] })
  fails(/`issuer` .* is there twice/, { issuers: [oidc, { ...oidc, name: 'b' }] })
  const ibm = { name: 'ibm', kind: 'ibm', issuer: 'https://iam.cloud.ibm.com/identity' }
  fails(/More than one .* kind ibm/, { issuers: [ibm, { ...ibm, name: 'b', issuer: 'http://127.0.0.1:1/identity' }] })
  assert.doesNotThrow(() => read({ issuers: [{ ...oidc, issuer: 'http://127.0.0.1:7421/identity' }] }))
})

test('mistakes are named, with the nearest that was meant', () => {
  failsWith(/There is no setting `audiences` in issuers\[0\].* Did you mean `audience`/, { audiences: ['a'] })
  fails(/no setting `issuer` .* Did you mean `issuers`/, { issuer: [] })
  failsWith(/`kind` .* one of ibm, oidc, kubernetes/, { kind: 'saml' })
  failsWith(/`issuer` .* must be text/, { issuer: 1 })
  failsWith(/text or a list of texts/, { audience: [] })
  fails(/cannot be read as JSON/, '{')
  fails(/must hold one JSON object/, '[]')
  fails(/must be a list of 1 to/, { issuers: [] })
})

test('CLOCK_SKEW_MS_MAX and ISSUERS_MAX are the last that is accepted', () => {
  assert.equal(read({ issuers: [{ ...oidc, clock_skew_ms: CLOCK_SKEW_MS_MAX }] }).issuers[0]?.clockSkewMs, 300_000)
  failsWith(/from 0 to 300000 ms/, { clock_skew_ms: CLOCK_SKEW_MS_MAX + 1 })
  failsWith(/from 0 to 300000 ms/, { clock_skew_ms: -1 })
  const many = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ ...oidc, name: `i-${index}`, issuer: `https://i${index}.example` }))
  assert.equal(read({ issuers: many(ISSUERS_MAX) }).issuers.length, ISSUERS_MAX)
  fails(/must be a list of 1 to 50/, { issuers: many(ISSUERS_MAX + 1) })
})

test('raw keys are off beside an issuer of IBM Cloud IAM, and wherever it is said', () => {
  const ibm = { issuers: [{ name: 'ibm', kind: 'ibm', issuer: 'https://iam.cloud.ibm.com/identity' }] }
  const accepts = (content: unknown, ...more: string[]) => read(content, more).acceptsRawKeys
  assert.equal(accepts(ibm), false)
  assert.equal(accepts(ibm, '--accept-raw-keys'), true)
  assert.equal(accepts(ibm, '--accept-raw-keys=false'), false)
  assert.equal(accepts({ issuers: [oidc, ...ibm.issuers] }), false)
  assert.equal(accepts({ issuers: [oidc] }), true)
  assert.equal(accepts({ issuers: [oidc] }, '--accept-raw-keys=false'), false)
  assert.throws(() => accepts(ibm, '--accept-raw-keys=yes'), /`accept_raw_keys`/)
})

test('raw keys are a switch, and certificates need TLS', () => {
  const plain = readConfig({ args: [], env: {} })
  assert.deepEqual([plain.acceptsRawKeys, plain.clientAuthoritiesFile], [true, null])
  assert.equal(readConfig({ args: ['--accept-raw-keys=false'], env: {} }).acceptsRawKeys, false)
  assert.throws(() => readConfig({ args: ['--client-ca', 'ca.pem'], env: {} }), /`client_ca` needs `tls_cert`/)
  const tls = ['--client-ca', 'ca.pem', '--tls-cert', 'c', '--tls-key', 'k']
  assert.equal(readConfig({ args: tls, env: {} }).clientAuthoritiesFile, 'ca.pem')
})
