import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { HoldfastError, type Rest } from '@holdfast/client'
import type { CredentialView } from './credentials.ts'
import { credentialsOf, showNewCredential, subjectOfServiceId } from './service-keys.ts'

const credential: CredentialView = {
  id: 'k-2',
  name: 'app',
  instance: 'i-1',
  subject: 'key:k-1',
  groups: [],
  roles: ['on-call', 'administrator'],
  state: 'active',
  createdAt: '2026-01-01T00:00:00.000Z',
  createdBy: 'root',
}

test('behind TLS a service key has the address with its port, and the authority that was named', t => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-service-keys-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const authorities = join(folder, 'ca.pem')
  writeFileSync(authorities, 'an authority')
  const connection = (url: string, more: { authorities?: string } = {}) => {
    // Its fields are looked into by the test, which is what checks them.
    const { connection: found } = credentialsOf({ credential, instance: null, url, ...more }) as { connection: object }
    return found
  }
  assert.deepEqual(connection('https://locks.example.org', { authorities }), {
    https: {
      composed: ['https://locks.example.org:443/v1'],
      hosts: [{ hostname: 'locks.example.org', port: 443 }],
      certificate: { name: 'ca.pem', certificate_base64: Buffer.from('an authority').toString('base64') },
    },
  })
  assert.deepEqual(connection('http://[::1]:7420', { authorities }), {
    http: { composed: ['http://[::1]:7420/v1'], hosts: [{ hostname: '::1', port: 7420 }] },
  })
  assert.throws(
    () => connection('https://locks.example.org', { authorities: join(folder, 'none.pem') }),
    /The authorities cannot be read/,
  )
})

test('the service id of a key is its subject, which it shares with the keys before it; a role of their own has no CRN', () => {
  const url = 'https://locks.example.org'
  const keyed = credentialsOf({ credential, instance: { ...instance, account: 'a1' }, url })
  assert.partialDeepStrictEqual(keyed, {
    apikey: 'REDACTED',
    iam_role_crn: 'crn:v1:bluemix:public:iam::::role:Administrator',
    iam_serviceid_crn: 'crn:v1:bluemix:public:iam-identity::a/a1::serviceid:ServiceId-k-1',
  })
  const own = credentialsOf({ credential: { ...credential, roles: ['on-call'], subject: 'iam:x' }, instance, url })
  assert.deepEqual(Object.keys(own), ['apikey', 'iam_apikey_name', 'crn', 'guid', 'url', 'connection'])
})

test('a new key is printed whatever becomes of the question for its instance', async t => {
  const asked: unknown[] = []
  const call = async (...question: unknown[]) => {
    asked.push(question)
    throw new HoldfastError('unavailable', 'The service cannot be reached.')
  }
  const written: string[] = []
  const { mock } = t.mock.method(process.stdout, 'write', (text: string) => written.push(text) > 0)
  const made = { credential, apiKey: 'the-secret', url: 'https://locks.example.org' }
  // Of all that a service offers only the instance is asked for.
  await showNewCredential({ call } as unknown as Rest, made, { json: true }).finally(() => mock.restore())
  assert.deepEqual(asked, [['GET', '/v2/instances/i-1']])
  const printed = JSON.parse(written.join(''))
  assert.deepEqual([printed.api_key, printed.credentials.apikey], ['the-secret', 'the-secret'])
  assert.equal('crn' in printed.credentials, false)
})

test('service ids of IBM Cloud IAM and of keys here are told apart', () => {
  const subjects = ['ServiceId-k-1ab', 'iam-ServiceId-k-1ab', 'ServiceId-12-ab', 'iam-ServiceId-12-ab', 'orders']
  assert.deepEqual(subjects.map(subjectOfServiceId), [
    'key:k-1ab',
    'key:k-1ab',
    'iam:iam-ServiceId-12-ab',
    'iam:iam-ServiceId-12-ab',
    null,
  ])
})

const instance = {
  id: 'i-1',
  name: 'payments',
  crn: 'crn:v1:bluemix:public:go-etcd-lock:eu-de:a/a1:i-1::',
  account: 'a1',
  plan: 'standard',
  capacityUnits: 10,
  region: 'eu-de',
  state: 'active',
  limits: {},
  createdAt: '2026-01-01T00:00:00.000Z',
  createdBy: 'root',
}
