/** Keys that are asked for: before each connection, and again when the one before has ended. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { hasCode } from './errors.ts'
import { iamTokens } from './iam.ts'
import { ManualClock, turn } from './testing/clock.ts'
import { holding, Script, wireGrant } from './testing/scripted.ts'

test('a key that is asked for is asked for before each connection, and said in its hello', async () => {
  let count = 0
  const script = new Script({ apiKey: async () => `token-${++count}` })
  script.holdfast.acquire('a').catch(() => {})
  await turn()
  assert.equal(script.connections.length, 1)
  script.connection.open()
  assert.equal(script.connection.last('hello').authorization, 'Bearer token-1')
  await script.connection.cut()
  await script.clock.advance(1_000)
  await turn()
  script.connection.open()
  assert.equal(script.connection.last('hello').authorization, 'Bearer token-2')
})

test('a key that cannot be had is asked for again, and nothing is sent without it', async () => {
  let isAway = true
  const script = new Script({
    apiKey: () => {
      if (isAway) throw new Error('the issuer is away')
      return 'token'
    },
  })
  script.holdfast.acquire('a').catch(() => {})
  await turn()
  await script.clock.advance(3_000)
  assert.equal(script.connections.length, 0)
  isAway = false
  await script.clock.advance(5_000)
  await turn()
  script.connection.open()
  assert.equal(script.connection.last('hello').authorization, 'Bearer token')
})

/** A token endpoint that answers what it is told to. */
async function endpoint(answer: () => { status: number; body: object }) {
  const asked: string[] = []
  const server = createServer((request, response) => {
    let form = ''
    request.on('data', chunk => {
      form += chunk
    })
    request.on('end', () => {
      asked.push(`${request.method} ${request.url} ${form}`)
      const { status, body } = answer()
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  // Listening on a port, the address is no text.
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/identity`, asked, close: () => server.close() }
}

test('a token of IAM is asked for once, by all who need it, and again when its time comes', async () => {
  let seconds = 3_600
  const iam = await endpoint(() => ({
    status: 200,
    body: { access_token: `t${iam.asked.length}`, expires_in: seconds },
  }))
  try {
    const token = iamTokens({ apiKey: 'secret key', url: iam.url })
    assert.deepEqual(await Promise.all([token(), token(), token()]), ['t1', 't1', 't1'])
    assert.equal(await token(), 't1')
    assert.deepEqual(iam.asked, [
      'POST /identity/token grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Aapikey&response_type=cloud_iam&apikey=secret+key',
    ])
    seconds = 0.001
    const short = iamTokens({ apiKey: 'k', url: iam.url })
    await short()
    await new Promise(resolve => setTimeout(resolve, 5))
    assert.equal(await short(), 't3')
  } finally {
    iam.close()
  }
})

test('a key that IAM refuses is no reason to try again; an endpoint that is away is', async () => {
  let status = 400
  const iam = await endpoint(() => ({ status, body: {} }))
  const token = iamTokens({ apiKey: 'k', url: iam.url })
  const codeOf = async () => {
    try {
      return await token()
    } catch (error) {
      assert.ok(!String(error).includes('apikey'))
      return (['unauthenticated', 'unavailable'] as const).find(code => hasCode(error, code))
    }
  }
  assert.equal(await codeOf(), 'unauthenticated')
  status = 503
  assert.equal(await codeOf(), 'unavailable')
  status = 200
  assert.equal(await codeOf(), 'unavailable', 'an answer that is no token')
  iam.close()
  assert.equal(await codeOf(), 'unavailable')
})

test('a token is as old as it is on the clock that goes on while the machine sleeps', async () => {
  const iam = await endpoint(() => ({ status: 200, body: { access_token: `t${iam.asked.length}`, expires_in: 3_600 } }))
  try {
    const clock = new ManualClock()
    const token = iamTokens({ apiKey: 'k', url: iam.url }, clock)
    assert.equal(await token(), 't1')
    clock.suspend(47 * 60_000)
    assert.equal(await token(), 't1')
    clock.suspend(60_000)
    assert.equal(await token(), 't2')
  } finally {
    iam.close()
  }
})

test('a token that is still good is used while the endpoint says nothing, so that a connection can be had', async () => {
  const clock = new ManualClock()
  let isSilent = false
  const send = async () => {
    if (isSilent) await new Promise(() => {})
    return new Response(JSON.stringify({ access_token: 't1', expires_in: 3_600 }))
  }
  const token = iamTokens({ apiKey: 'k', url: 'http://iam.test', fetch: send as typeof fetch }, clock)
  assert.equal(await token(), 't1')
  isSilent = true
  clock.suspend(50 * 60_000)
  const asked = token()
  await turn()
  await clock.advance(1_000)
  assert.equal(await asked, 't1')
  clock.suspend(10 * 60_000)
  let isAnswered = false
  void token().finally(() => {
    isAnswered = true
  })
  await clock.advance(5_000)
  assert.equal(isAnswered, false, 'it is good no more')
})

test('a credential that is refused when a session is resumed does not end what is held, where another may be had', async () => {
  const refusal = { type: 'reply' as const, id: 0, error: { code: 'unauthenticated' as const, message: 'No.' } }
  for (const options of [{ apiKey: () => 'token' }, { url: ['http://one.test', 'http://two.test'] }]) {
    const { script, lock } = await holding(7, options)
    await script.connection.cut()
    await script.clock.advance(200)
    script.connection.open()
    await script.connection.say(refusal)
    assert.ok(lock.isHeld)
    await script.clock.advance(1_000)
    await script.welcome({ grants: [wireGrant('a', 7, 1)] })
    assert.equal(script.connection.last('hello').session, 's-1.secret')
    assert.ok(lock.isHeld)
    // Until it may be somebody else's.
    await script.connection.cut()
    for (let tries = 0; tries < 20 && lock.isHeld; tries++) {
      await script.clock.advance(1_000)
      script.connection.open()
      await script.connection.say(refusal)
    }
    assert.equal(lock.isHeld, false)
  }
  const { script, lock } = await holding()
  await script.connection.cut()
  await script.clock.advance(200)
  script.connection.open()
  await script.connection.say(refusal)
  assert.equal(lock.isHeld, false)
})

test('who is not let in for now hears why, and not that nobody is there', async () => {
  const script = new Script()
  const waiting = script.holdfast.acquire('a')
  const refused = assert.rejects(waiting, (error: unknown) => hasCode(error, 'quota_exceeded'))
  for (let tries = 0; tries < 12; tries++) {
    await turn()
    script.connection.open()
    const error = { code: 'quota_exceeded' as const, message: 'The limit of 1 on sessions has been reached.' }
    await script.connection.say({ type: 'reply', id: 0, error })
    await script.clock.advance(1_000)
  }
  await refused
})
