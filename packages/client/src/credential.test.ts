/** Keys that are asked for: before each connection, and again when the one before has ended. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { hasCode } from './errors.ts'
import { iamTokens } from './iam.ts'
import { turn } from './testing/clock.ts'
import { Script } from './testing/scripted.ts'

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
