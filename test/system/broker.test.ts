/** The broker by programs that nobody here wrote: IBM's own SDK, which gets its tokens from us; and the page about it, typed. */
import { strict as assert } from 'node:assert'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { connect } from '@holdfast/client'
import OpenServiceBroker from '@ibm-cloud/platform-services/open-service-broker/v1.js'
import { IamAuthenticator } from 'ibm-cloud-sdk-core'
import { bin, cli } from '../harness/cli.ts'
import { temporaryFolder } from '../harness/process.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'

const page = readFileSync(fileURLToPath(new URL('../../docs/access/broker.md', import.meta.url)), 'utf8')
const blocks = [...page.matchAll(/^```sh\n(.*?)^```/gms)].map(match => (match[1] ?? '').trim())
const folder = temporaryFolder('broker')
let server: Server
let platformKey = ''

before(async () => {
  server = await startServer({ data: folder.path })
})
after(async () => {
  await server.stop()
  folder.remove()
})

// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes are looked into by the tests, which is what checks them
type Json = any

/** As somebody would type it. */
function typed(command: string, env: NodeJS.ProcessEnv): Promise<string> {
  const line = command.replace(/^holdfast /, `'${process.execPath}' '${bin}' `)
  const own = { HOLDFAST_URL: server.url, HOLDFAST_API_KEY: rootKey, NODE_TEST_CONTEXT: undefined }
  return new Promise((resolve, reject) => {
    execFile('sh', ['-c', line], { env: { ...process.env, ...own, ...env } }, (error, stdout, stderr) =>
      error ? reject(new Error(`${command}: ${stderr}${stdout}`)) : resolve(stdout),
    )
  })
}

test('each command of the page works, in its order', async () => {
  const [first = '', catalog = '', rest = '', ...more] = blocks
  assert.deepEqual(more, [])
  platformKey = /HOLDFAST_API_KEY +(\S+)/.exec(await typed(first, {}))?.[1] ?? assert.fail('no key')
  const env: NodeJS.ProcessEnv = { URL: server.url, KEY: platformKey }
  const [service] = (JSON.parse(await typed(catalog, env)) as Json).services
  env.SERVICE = service.id
  env.PLAN = service.plans.find(({ name }: Json) => name === 'standard').id
  const said: string[] = []
  for (const command of rest.split('\n')) {
    const output = await typed(command, env)
    assert.doesNotMatch(output, /"description"/, `${command}: ${output}`)
    said.push(output)
  }
  const [made = '', bound = '', disabled = '', shown = '', unbound, deleted, restored = ''] = said
  assert.match((JSON.parse(made) as Json).dashboard_url, /^http/)
  assert.match((JSON.parse(bound) as Json).credentials.apikey, /^hfk_/)
  assert.deepEqual(JSON.parse(disabled), { enabled: false })
  assert.match(shown, /disabled/)
  assert.match(shown, /20/)
  assert.deepEqual([unbound, deleted], ['{}', '{}'])
  assert.match(restored, /disabled/, 'as it was before it was deleted')
  const trail = await cli(['audit', 'list', '--json'], { url: server.url })
  assert.match(trail.stdout, /on behalf of IBMid-1, reason code UNPAID/)
})

test("IBM's SDK orders an instance by its CRN with tokens of ours, binds a key that opens it, disables, enables and deletes it", async () => {
  const authenticator = new IamAuthenticator({ apikey: platformKey, url: server.url })
  const broker = new OpenServiceBroker({ authenticator, serviceUrl: `${server.url}/broker` })
  const headers = { 'X-Broker-Api-Version': '2.12' }
  const crn = 'crn:v1:bluemix:public:go-etcd-lock:us-south:a/acc1:0f0e0d0c-0b0a-4908-8706-050403020100::'
  const [service] = ((await broker.listCatalog({ headers })).result as Json).services
  const ids = { serviceId: service.id, planId: service.plans.find(({ name }: Json) => name === 'premium').id }
  const at = { instanceId: crn, headers }
  const context = { platform: 'ibmcloud', account_id: 'acc1', crn }
  const order = () => broker.replaceServiceInstance({ ...at, ...ids, context, parameters: { capacity_units: 3 } })
  assert.deepEqual([(await order()).status, (await order()).status], [201, 200])
  await broker.updateServiceInstance({ ...at, ...ids, parameters: { capacity_units: 4 } })
  assert.deepEqual((await broker.getLastOperation({ ...at, ...ids, operation: 'x' })).result, { state: 'succeeded' })
  const bindingId = `${crn.slice(0, -2)}:resource-key:1`
  const parameters = { role_crn: 'crn:v1:bluemix:public:iam::::serviceRole:Writer' }
  const bound = await broker.replaceServiceBinding({ ...at, ...ids, bindingId, parameters })
  const { credentials } = bound.result as Json
  assert.equal(credentials.crn, crn)
  const holdfast = connect({ url: credentials.url, apiKey: credentials.apikey })
  const lock = await holdfast.acquire('ordered')
  const state = async () => (await broker.getServiceInstanceState(at)).result
  assert.deepEqual(await state(), { enabled: true, active: false }, 'uses of a key are noted once a minute')
  const said = { initiatorId: 'IBMid-1', reasonCode: 'UNPAID' }
  assert.deepEqual((await broker.replaceServiceInstanceState({ ...at, enabled: false, ...said })).result, {
    enabled: false,
  })
  const refused = await fetch(`${credentials.connection.http.composed[0]}/locks`, {
    headers: { authorization: `Bearer ${credentials.apikey}` },
  })
  assert.equal(refused.status, 403)
  await broker.replaceServiceInstanceState({ ...at, enabled: true })
  await lock.release().catch(() => undefined) // it may have gone with the connection that was closed
  await holdfast.close()
  assert.equal((await broker.deleteServiceBinding({ ...at, ...ids, bindingId })).status, 200)
  const ended = await fetch(`${credentials.url}/v2/whoami`, {
    headers: { authorization: `Bearer ${credentials.apikey}` },
  })
  assert.equal(ended.status, 401)
  assert.equal((await broker.deleteServiceInstance({ ...at, ...ids })).status, 200)
  await assert.rejects(broker.deleteServiceInstance({ ...at, ...ids }), { status: 410 })
})
