import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cadfOf } from './cadf.ts'
import { CRN_CHARS_MAX, Crns, targetCrn } from './crn.ts'
import type { WireRecord } from './record.ts'

const crn = 'crn:v1:bluemix:public:go-etcd-lock:us-south:a/ACC:GUID::'
const serviceCrn = 'crn:v1:bluemix:public:go-etcd-lock:eu-de:a/holdfast:default::'
const crns = new Crns()
crns.learn([
  { id: 'GUID', crn },
  { id: 'default', crn: serviceCrn },
])

const record: WireRecord = {
  id: 'i-1',
  at: '2026-11-21T06:30:33.129Z',
  action: 'lock.acquire',
  outcome: 'success',
  subject: 'iam:IBMid-1',
  target: 'lock/orders/a b',
  instance: 'GUID',
  link: 'ff',
}
const cadf = (more: Partial<WireRecord>) =>
  // As the tests look into it.
  cadfOf({ ...record, ...more }, { crns, host: 'holdfast.example' }) as {
    action: string
    message: string
    severity: string
    dataEvent: boolean
    logSourceCRN: string
    requestData: object
    correlationId?: string
    target: { id: string; name: string; typeURI: string }
    initiator: {
      id: string
      name: string
      authnId: string
      typeURI: string
      credential: { type: string }
      host?: object
    }
  }

test('a record becomes the CADF event of the page, field by field', () => {
  const event = cadf({
    outcome: 'denied',
    status: 409,
    reason: 'It is held.',
    from: '10.0.0.1',
    request_id: 'req',
    session: 's-1',
    holder: 'ann',
  })
  assert.deepEqual(event, {
    eventTime: '2026-11-21T06:30:33.12+0000',
    action: 'go-etcd-lock.lock.acquire',
    outcome: 'failure',
    severity: 'warning',
    message: 'Go Etcd Lock: acquire lock orders/a b [failure]',
    id: 'i-1',
    correlationId: 'req',
    initiator: {
      id: 'IBMid-1',
      name: 'IBMid-1',
      authnId: 'IBMid-1',
      authnName: 'IBMid-1',
      typeURI: 'service/security/account/user',
      credential: { type: 'token' },
      host: { address: '10.0.0.1', addressType: 'IPv4' },
    },
    target: {
      id: 'crn:v1:bluemix:public:go-etcd-lock:us-south:a/ACC:GUID:lock:orders%2Fa%20b',
      name: 'orders/a b',
      typeURI: 'go-etcd-lock/lock',
      host: { address: 'holdfast.example' },
    },
    observer: { name: 'ActivityTracker' },
    reason: { reasonCode: 409, reasonType: 'Conflict', reasonForFailure: 'It is held.' },
    logSourceCRN: crn,
    saveServiceCopy: true,
    dataEvent: true,
    requestData: { session: 's-1', holder: 'ann' },
    responseData: {},
  })
})

test('what was written is data of the request', () => {
  const changed = [{ kind: 'policy', id: 'p-1', value: { roles: ['manager'] } }]
  assert.deepEqual(cadf({ action: 'policy.write', target: 'policy/p-1', changed }).requestData, { changed })
})

test('the severity follows the code, and what deletes or changes credentials is critical', () => {
  for (const [status, severity] of [
    [401, 'critical'],
    [403, 'critical'],
    [503, 'critical'],
    [507, 'critical'],
    [400, 'warning'],
    [500, 'warning'],
    [404, 'normal'],
  ] as const)
    assert.equal(cadf({ outcome: 'failure', status }).severity, severity)
  assert.equal(cadf({}).severity, 'normal')
  for (const action of ['lock.delete', 'credential.create', 'credential.revoke', 'instance.delete'])
    assert.equal(cadf({ action }).severity, 'critical')
})

test('what concerns data is told from management', () => {
  for (const action of ['lock.acquire', 'lock.release', 'session.open']) assert.equal(cadf({ action }).dataEvent, true)
  for (const action of ['lock.force-release', 'lock.freeze', 'policy.write', 'instance.create'])
    assert.equal(cadf({ action }).dataEvent, false)
})

test('the initiator is who asked, of its kind and as it was proved, and never a session or its victim', () => {
  for (const [subject, id, name, typeURI, type] of [
    ['iam:IBMid-1', 'IBMid-1', 'IBMid-1', 'account/user', 'token'],
    ['iam:iam-ServiceId-1', 'iam-ServiceId-1', 'iam-ServiceId-1', 'account/serviceid', 'token'],
    ['iam:iam-Profile-1', 'iam-Profile-1', 'iam-Profile-1', 'account/serviceid', 'token'],
    [
      'oidc:k8s:system:serviceaccount:shop:web',
      'oidc:k8s:system:serviceaccount:shop:web',
      'system:serviceaccount:shop:web',
      'account/serviceid',
      'token',
    ],
    ['oidc:corp:ann', 'oidc:corp:ann', 'ann', 'account/user', 'token'],
    ['cert:ann', 'cert:ann', 'ann', 'client/certificateid', 'certificate'],
    ['key:k-1', 'key:k-1', 'k-1', 'account/serviceid', 'apikey-serviceid'],
    ['ci', 'ci', 'ci', 'account/serviceid', 'apikey-serviceid'],
    ['root', 'root', 'root', 'clientid', 'apikey'],
    ['service', crn, 'go-etcd-lock', 'clientid', 's2s-authorization'],
  ] as const) {
    const { initiator, requestData } = cadf({
      subject,
      action: 'lock.force-release',
      session: 's-9',
      holder: 's-9',
      affected: 'ann',
    })
    const of = { typeURI: `service/security/${typeURI}`, credential: { type } }
    assert.deepEqual(initiator, { id, name, authnId: id, authnName: name, ...of }, subject)
    assert.deepEqual(requestData, { session: 's-9', holder: 's-9', affected: 'ann' })
  }
})

test('who proved nobody is named by what was presented, and nothing is empty', () => {
  const { instance, ...rest } = record
  const denied = (target: string) =>
    cadfOf(
      { ...rest, action: 'authenticate', outcome: 'denied', status: 401, subject: '', target },
      { crns, host: 'h' },
    ) as ReturnType<typeof cadf>
  const [key, token, nothing] = ['credential/k-1', 'token', 'credential'].map(denied)
  assert.equal(key?.message, 'Go Etcd Lock: authenticate credential k-1 [failure]')
  assert.equal(token?.message, 'Go Etcd Lock: authenticate token [failure]')
  assert.deepEqual([key?.initiator.id, token?.initiator.id, nothing?.initiator.id], ['k-1', 'unknown', 'unknown'])
  assert.deepEqual([key?.initiator.credential.type, token?.initiator.credential.type], ['apikey', 'token'])
  assert.deepEqual([key?.target.name, token?.target.name], ['k-1', 'unknown'])
  assert.deepEqual([key?.target.typeURI, token?.target.typeURI], ['go-etcd-lock/resource-key', 'go-etcd-lock/token'])
  for (const event of [key, token, nothing]) {
    assert.equal(event?.logSourceCRN, serviceCrn, 'it concerns the service')
    assert.doesNotMatch(JSON.stringify(event), /:""| {2}/)
  }
})

/** ECOSYSTEM 1.1. */
const form = /^crn:v[0-9](:([A-Za-z0-9-._~!$&'()*+,;=@/]|%[0-9A-Z]{2})*){8}$/

test('CRNs are those of the instance that a record is of, and of the form and length that the page allows', () => {
  assert.equal(cadf({ target: 'credential/k-1' }).target.id, `${crn.slice(0, -2)}:resource-key:k-1`)
  assert.equal(cadf({ target: 'instance/GUID', instance: 'default' }).target.id, crn)
  assert.equal(cadf({ instance: 'default' }).logSourceCRN, serviceCrn)
  assert.equal(new Crns(crn).of('other'), crn, 'as somebody has said')
  const names = [
    'é'.repeat(128),
    `${'é'.repeat(127)}èx`,
    '💥'.repeat(64),
    'a'.repeat(256),
    '/'.repeat(256),
    "it's *(1)!~",
    '',
  ]
  const ids = names.map(name => cadf({ target: `lock/${name}` }).target.id)
  for (const id of ids) {
    assert.ok(id.length <= CRN_CHARS_MAX, `${id.length}`)
    assert.match(id, form)
    assert.ok(decodeURIComponent(id))
  }
  assert.equal(new Set(ids).size, names.length)
  const room = CRN_CHARS_MAX - targetCrn(crn, 'lock', '').length
  assert.ok(targetCrn(crn, 'lock', 'x'.repeat(room)).endsWith('x'))
  assert.match(targetCrn(crn, 'lock', 'x'.repeat(room + 1)), /x~[0-9a-f]{64}$/)
})
