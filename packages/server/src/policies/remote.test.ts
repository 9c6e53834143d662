import assert from 'node:assert/strict'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { Action } from '@holdfast/protocol/operation'
import { systemClock } from '../clock.ts'
import { type IamEmulator, startIamEmulator } from '../iam-emulator/index.ts'
import { systemRandom } from '../random.ts'
import type { Put } from '../registry/port.ts'
import { instanceRecord, memoryRegistry, policyRecord } from '../registry/testing.ts'
import { FakeClock } from '../shards/testing.ts'
import type { Json } from '../testing.ts'
import { AUTHZ_BYTES_MAX, AUTHZ_MS_MAX, ownToken } from './authz.ts'
import { LocalDecisions } from './decisions.ts'
import type { Question } from './port.ts'
import {
  AUTHZ_QUESTIONS_MAX,
  DECISIONS_KEPT_MAX,
  DENIAL_MS_MAX,
  PERMIT_MS_MAX,
  RemoteDecisions,
  STALE_MS_MAX,
  UNDECIDED_QUESTIONS_MAX,
} from './remote.ts'
import { RoutedDecisions } from './routed.ts'
import { person, rootIdentity } from './testing.ts'

const account = 'acc'
const mine = instanceRecord({ id: 'mine', account, region: 'us-south' })
const puts: Put[] = [mine, instanceRecord({ id: 'other', account: 'another' })].map(value => ({
  kind: 'instance',
  id: value.id,
  value,
}))
const ann = person({ subject: 'iam:IBMid-ann', kind: 'token', account, scope: 'ibm openid' })
const question = (lock: string, action: Action = 'lock.acquire'): Question => ({
  identity: ann,
  instance: 'mine',
  action,
  lock,
  address: '',
  atMs: 0,
})

/** A decision point that says what the test says, and what it was asked. */
async function withPdp(
  act: (pdp: {
    remote: RemoteDecisions
    clock: FakeClock
    calls: { headers: IncomingHttpHeaders; body: Json[] }[]
    answer: (question: Json) => Json
    isUp: boolean
    status: number
    raw: string | null
  }) => Promise<void>,
): Promise<void> {
  const calls: { headers: IncomingHttpHeaders; body: Json[] }[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const body = JSON.parse(Buffer.concat(chunks).toString())
    calls.push({ headers: request.headers, body })
    if (!pdp.isUp) return void request.socket.destroy()
    response.writeHead(pdp.status, { 'content-type': 'application/json' })
    response.end(pdp.raw ?? JSON.stringify({ responses: body.map(pdp.answer) }))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo // of a host and port
  const clock = new FakeClock()
  const remote = new RemoteDecisions({
    authz: { url: `http://127.0.0.1:${port}/v2/authz`, token: async () => 'own-token' },
    serviceName: 'go-etcd-lock',
    registry: memoryRegistry(...puts),
    clock,
    random: systemRandom,
    warn: () => undefined,
  })
  const permits = (permitted: boolean) => ({ status: '200', authorizationDecision: { permitted } })
  const pdp: Parameters<typeof act>[0] = {
    remote,
    clock,
    calls,
    answer: ({ resource }) => permits(!String(resource.attributes.resource).startsWith('no')),
    isUp: true,
    status: 200,
    raw: null,
  }
  try {
    await act(pdp)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

test('it is asked as IBM has it, with the service’s own token, and its answer holds', async () => {
  await withPdp(async ({ remote, calls }) => {
    assert.equal((await remote.decide(question('a/b'))).permitted, true)
    const [call] = calls
    assert.equal(call?.headers.authorization, 'Bearer own-token')
    assert.equal(call?.headers.accept, 'application/vnd.authz.v2+json')
    assert.match(String(call?.headers['transaction-id']), /^[0-9a-f]{32}$/)
    assert.deepEqual(call?.body, [
      {
        subject: { attributes: { id: 'IBMid-ann', scope: 'ibm openid' } },
        resource: {
          attributes: {
            serviceName: 'go-etcd-lock',
            serviceInstance: 'mine',
            accountId: account,
            region: 'us-south',
            resourceType: 'lock',
            resource: 'a/b',
          },
        },
        action: 'go-etcd-lock.lock.acquire',
      },
    ])
    assert.equal((await remote.decide(question('no'))).permitted, false)
  })
})

test('a permit is kept for PERMIT_MS_MAX and a denial for DENIAL_MS_MAX, and answered at once meanwhile', async () => {
  await withPdp(async ({ remote, clock, calls }) => {
    for (const [lock, keptMs] of [
      ['yes', PERMIT_MS_MAX],
      ['no', DENIAL_MS_MAX],
    ] as const) {
      await remote.decide(question(lock))
      const before = calls.length
      clock.pause(keptMs - 1)
      assert.ok(!(remote.decide(question(lock)) instanceof Promise))
      clock.pause(1)
      await remote.decide(question(lock))
      assert.equal(calls.length, before + 1)
    }
  })
})

test('equal questions are asked once, different ones together, at most AUTHZ_QUESTIONS_MAX', async () => {
  await withPdp(async ({ remote, calls }) => {
    const same = Array.from({ length: 50 }, () => remote.decide(question('a')))
    assert.ok((await Promise.all(same)).every(({ permitted }) => permitted))
    assert.deepEqual(
      calls.map(({ body }) => body.length),
      [1],
    )
    await Promise.all(
      Array.from({ length: AUTHZ_QUESTIONS_MAX + 1 }, (_, index) => remote.decide(question(`b${index}`))),
    )
    assert.deepEqual(
      calls.slice(1).map(({ body }) => body.length),
      [AUTHZ_QUESTIONS_MAX, 1],
    )
  })
})

test('while it does not answer, what it said is served until STALE_MS_MAX, and all else is denied', async () => {
  await withPdp(async pdp => {
    const { remote, clock } = pdp
    await Promise.all([remote.decide(question('yes')), remote.decide(question('no'))])
    pdp.isUp = false
    clock.pause(PERMIT_MS_MAX)
    assert.equal((await remote.decide(question('yes'))).permitted, true)
    assert.equal((await remote.decide(question('no'))).permitted, false)
    const { permitted, isUnknown } = await remote.decide(question('new'))
    assert.deepEqual([permitted, isUnknown], [false, true], 'which is no denial')
    assert.equal(await remote.mayAny({ ...question('x', 'lock.list'), prefix: 'x/' }), null)
    assert.equal((await remote.decide({ ...question('new'), instance: 'other' })).isUnknown, undefined)
    const before = pdp.calls.length
    assert.ok(!(remote.decide(question('newer')) instanceof Promise), 'nobody waits for what will not come')
    assert.equal(pdp.calls.length, before)
    clock.pause(STALE_MS_MAX - PERMIT_MS_MAX - 1)
    assert.equal((await remote.decide(question('yes'))).permitted, true)
    clock.pause(1)
    assert.equal((await remote.decide(question('yes'))).permitted, false)
    pdp.isUp = true
    clock.pause(5_000)
    assert.equal((await remote.decide(question('new'))).permitted, true, 'and it is asked again')
  })
})

test('an answer that cannot be read, is of another length, too long or not of status 200 permits nothing', async () => {
  await withPdp(async pdp => {
    const yes = '{"status":"200","authorizationDecision":{"permitted":true}}'
    const one = (raw: string) => ({ raw, status: 200 })
    const bad = [
      one('{'),
      one('[]'),
      one('null'),
      one(`{"responses":[${yes},${yes}]}`),
      one('{"responses":[null]}'),
      one('{"responses":[{"status":"403","authorizationDecision":{"permitted":true}}]}'),
      one('{"responses":[{"status":"200","authorizationDecision":{"permitted":"true"}}]}'),
      one(`{"responses":[${yes}],"x":"${'x'.repeat(AUTHZ_BYTES_MAX)}"}`),
      { raw: `{"responses":[${yes}]}`, status: 500 },
    ]
    for (const [index, how] of bad.entries()) {
      Object.assign(pdp, how)
      assert.equal((await pdp.remote.decide(question(`a${index}`))).permitted, false, how.raw.slice(0, 80))
      pdp.clock.pause(5_000)
    }
    Object.assign(pdp, one(`{"responses":[${yes}]}`))
    assert.equal((await pdp.remote.decide(question('a'))).permitted, true)
  })
})

test('an answer that takes longer than AUTHZ_MS_MAX is not waited for', async () => {
  const server = createServer(() => undefined)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo // of a host and port
  const clock = new FakeClock()
  const token = ownToken({ url: `http://127.0.0.1:${port}/token`, apiKey: 'canary-key', clock })()
  const refused = assert.rejects(
    token,
    error => error instanceof Error && /longer than/.test(error.message) && !error.message.includes('canary'),
  )
  await clock.pass(AUTHZ_MS_MAX)
  await refused
  server.closeAllConnections()
  server.close()
})

test('DECISIONS_KEPT_MAX decisions are kept and UNDECIDED_QUESTIONS_MAX questions wait, and not one more', async () => {
  const clock = new FakeClock()
  let release = (_: string) => {}
  const token = new Promise<string>(resolve => {
    release = resolve
  })
  const remote = new RemoteDecisions({
    authz: { url: 'http://127.0.0.1:9/', token: () => token },
    serviceName: 's',
    registry: memoryRegistry(...puts),
    clock,
    random: systemRandom,
    warn: () => undefined,
  })
  const asked = Array.from({ length: UNDECIDED_QUESTIONS_MAX }, (_, index) => remote.decide(question(`a${index}`)))
  assert.ok(asked.every(answer => answer instanceof Promise))
  const beyond = remote.decide(question('beyond'))
  assert.ok(!(beyond instanceof Promise) && !beyond.permitted && /Too many/.test(beyond.why) && beyond.isUnknown)
  release('')
  assert.ok(
    (await Promise.all(asked)).every(({ permitted }) => !permitted),
    'nobody listens on port 9',
  )
  await withPdp(async pdp => {
    const all = async (from: number, to: number) => {
      for (let index = from; index < to; index += 5_000)
        await Promise.all(
          Array.from({ length: Math.min(5_000, to - index) }, (_, step) =>
            pdp.remote.decide(question(`b${index + step}`)),
          ),
        )
    }
    await all(0, DECISIONS_KEPT_MAX)
    assert.ok(!(pdp.remote.decide(question('b0')) instanceof Promise))
    await all(DECISIONS_KEPT_MAX, DECISIONS_KEPT_MAX + 1)
    assert.ok(pdp.remote.decide(question('b0')) instanceof Promise, 'the oldest has gone')
    assert.ok(!(pdp.remote.decide(question('b1')) instanceof Promise))
  })
})

test('a token for another account, and an instance that is closed, are decided here; others than those of IAM too', async () => {
  await withPdp(async ({ remote, calls }) => {
    const closed: Put = {
      kind: 'instance',
      id: 'off',
      value: instanceRecord({ id: 'off', account, state: 'disabled' }),
    }
    const local = new LocalDecisions(
      memoryRegistry(...puts, closed, {
        kind: 'policy',
        id: 'p',
        value: policyRecord({ id: 'p', instance: 'mine', roles: ['reader'] }),
      }),
    )
    const routed = new RoutedDecisions({ local, remote })
    for (const instance of ['other', 'off', 'none'])
      assert.equal((await routed.decide({ ...question('a'), instance })).permitted, false, instance)
    assert.equal(await routed.mayEnter({ ...question('a'), instance: 'other' }), false)
    assert.equal(await routed.mayEnter(question('a')), true)
    assert.equal((await routed.decide({ ...question('a'), identity: rootIdentity })).permitted, true)
    const key = person({ instance: 'mine' })
    assert.equal((await routed.decide({ ...question('a', 'lock.read'), identity: key })).permitted, true)
    assert.equal((await routed.decide({ ...question('a'), identity: key })).permitted, false)
    assert.equal(calls.length, 0)
    assert.equal(
      (await routed.decide({ ...question('no', 'lock.read') })).permitted,
      false,
      'our own policies are not for those of IAM',
    )
    assert.equal(calls.length, 1)
  })
})

test('in `default`, which is of no account that IAM knows, our own policies are for those of IAM too', async () => {
  await withPdp(async ({ remote, calls }) => {
    const service: Put = {
      kind: 'instance',
      id: 'default',
      value: instanceRecord({ id: 'default', account: 'holdfast' }),
    }
    const platform = policyRecord({ id: 'p', subjects: [question('a').identity.subject], roles: ['editor'] })
    const local = new LocalDecisions(memoryRegistry(...puts, service, { kind: 'policy', id: 'p', value: platform }))
    const routed = new RoutedDecisions({ local, remote })
    const asked = { ...question('a'), instance: 'default', lock: null }
    assert.equal((await routed.decide({ ...asked, action: 'instance.create' })).permitted, true)
    assert.equal((await routed.decide({ ...asked, action: 'policy.write' })).permitted, false)
    assert.equal(await routed.mayEnter(asked), true)
    const stranger = { ...asked.identity, subject: 'iam:IBMid-stranger' }
    assert.equal((await routed.decide({ ...asked, action: 'instance.create', identity: stranger })).permitted, false)
    assert.equal(calls.length, 0)
  })
})

test('with the emulator: its roles on patterns of names, through a token of our own', async () => {
  const serviceId = 'iam-ServiceId-lock'
  const identities = [{ iam_id: serviceId, name: 'service', apikey: 'service-key-of-this-test' }]
  const emulator: IamEmulator = await startIamEmulator({
    account: {
      account,
      identities,
      policies: [
        {
          type: 'access',
          subject: { attributes: [{ key: 'iam_id', operator: 'stringEquals', value: 'IBMid-ann' }] },
          resource: {
            attributes: [
              { key: 'serviceName', operator: 'stringEquals', value: 'go-etcd-lock' },
              { key: 'serviceInstance', operator: 'stringEquals', value: 'mine' },
              { key: 'resource', operator: 'stringMatch', value: 'team/*' },
            ],
          },
          control: { grant: { roles: [{ role_id: 'crn:v1:bluemix:public:iam::::serviceRole:Writer' }] } },
        },
      ],
    },
    listen: { host: '127.0.0.1', port: 0 },
    clock: systemClock,
    random: systemRandom,
  })
  try {
    const clock = systemClock
    const token = ownToken({ url: `${emulator.issuer}/token`, apiKey: 'service-key-of-this-test', clock })
    const options = {
      serviceName: 'go-etcd-lock',
      registry: memoryRegistry(...puts),
      clock,
      random: systemRandom,
      warn: assert.fail,
    }
    const remote = new RemoteDecisions({ ...options, authz: { url: `${emulator.url}/v2/authz`, token } })
    const decided = async (lock: string, action?: Action) => (await remote.decide(question(lock, action))).permitted
    assert.deepEqual(await Promise.all(['team/a', 'team/', 'team', 'Team/a', 'other'].map(lock => decided(lock))), [
      true,
      true,
      false,
      false,
      false,
    ])
    assert.equal(await decided('team/a', 'lock.force-release'), false)
    assert.equal(await remote.mayAny({ ...question('x', 'lock.list'), prefix: 'team/' }), true)
    assert.equal(await remote.mayAny({ ...question('x', 'lock.list'), prefix: 'other/' }), false)
    assert.equal(
      (await remote.decide({ ...question('team/', 'lock.acquire'), isPrefix: true })).permitted,
      false,
      'only who has all has a prefix',
    )
  } finally {
    await emulator.close()
  }
})
