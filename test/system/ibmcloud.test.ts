/** The words of `ibmcloud` that ECOSYSTEM 1.10 lists, each form typed on a real server; and keys as IBM's services print them (1.3). */
import { strict as assert } from 'node:assert'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { cli } from '../harness/cli.ts'
import { temporaryFolder } from '../harness/process.ts'
import { type Server, startServer } from '../harness/server.ts'

const folder = temporaryFolder('ibmcloud')
let server: Server

before(async () => {
  server = await startServer({ data: folder.path, flags: ['--engine', 'memory'] })
})
after(async () => {
  await server.stop()
  folder.remove()
})

/** The words are split at spaces; `more` goes after them as it is. */
const typed = (words: string, more: string[] = [], options: { input?: string; env?: NodeJS.ProcessEnv } = {}) =>
  cli([...words.split(' '), ...more], { url: server.url, ...options })

async function works(words: string, more?: string[], options?: { input?: string; env?: NodeJS.ProcessEnv }) {
  const ended = await typed(words, more, options)
  assert.equal(ended.code, 0, `${words}: ${ended.stderr}`)
  return ended
}

// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes are looked into by the tests, which is what checks them
type Json = any

async function json(words: string, more?: string[], options?: { env?: NodeJS.ProcessEnv }): Promise<Json> {
  return JSON.parse((await works(`${words} --output json`, more, options)).stdout)
}

const whoami = (key: string) => typed('whoami', [], { env: { HOLDFAST_API_KEY: key } })

test('instances are made, shown, listed, changed, deleted and restored in the words of ibmcloud', async () => {
  const options = '-g Default --service-endpoints public --allow-cleanup --lock'
  const made = await works(`resource service-instance-create orders go-etcd-lock standard us-south ${options}`, [
    '-p',
    '{"capacity_units": 30}',
  ])
  assert.match(made.stdout, /standard, 30 capacity units/)
  for (const option of ['--group', '--service-endpoints', '--allow-cleanup', '--lock'])
    assert.match(made.stderr, new RegExp(`${option} does nothing here: `), 'nobody shall think that it did')
  const file = join(folder.path, 'parameters.json')
  writeFileSync(file, '{"capacity_units": 20}')
  await works(`resource service-instance-create by-file go-etcd-lock standard -l eu-de -p @${file}`)
  const shown = await json('resource service-instance by-file')
  assert.deepEqual([shown.region, shown.capacity_units], ['eu-de', 20])
  await works('resource service-instance-update by-file -n by-hand --service-plan-id premium', [
    '-p',
    '{"capacity_units":11}',
  ])
  assert.equal((await json('resource service-instance by-hand')).plan, 'premium')
  assert.match((await works('resource service-instance-delete by-hand -f')).stdout, /pending_reclamation/)
  assert.deepEqual(
    (await json('resource reclamations')).instances.map(({ name }: Json) => name),
    ['by-hand'],
  )
  assert.equal((await json(`resource reclamation-restore ${shown.id}`)).state, 'active')
})

test('the name of a service is that of the service, or there is none', async () => {
  const listed = await json('resource service-instances --service-name go-etcd-lock')
  assert.ok(listed.instances.length >= 2)
  assert.deepEqual(listed, await json('resource service-instances'))
  assert.deepEqual((await json('resource service-instances --service-name other')).instances, [])
  const foreign = [
    'resource service-instance-create lost cloud-object-storage standard us-south',
    'iam service-policy-create k-1 --roles Writer --service-name cloud-object-storage',
  ]
  for (const { code, stderr } of await Promise.all(foreign.map(words => typed(words)))) {
    assert.equal(code, 124)
    assert.match(stderr, /no service cloud-object-storage here, but go-etcd-lock/)
  }
  assert.equal((await typed('resource service-instance lost')).code, 124)
})

test('without -f it asks before it deletes; only a yes is one', async () => {
  const { id } = await json('resource service-instance-create asked go-etcd-lock standard us-south')
  await works('resource service-key-create asked-key --instance-name asked')
  const cases = ['resource service-instance-delete asked', 'resource service-key-delete asked-key'].flatMap(words =>
    ['', '\n', 'yesterday\n'].map(input => ({ words, input })),
  )
  await Promise.all(
    cases.map(async ({ words, input }) => {
      const { code, stderr } = await typed(words, [], { input })
      assert.equal(code, 124, JSON.stringify({ words, input }))
      assert.match(stderr, /\[y\/N\].*Nothing was done/s)
    }),
  )
  assert.equal((await json('resource service-instance asked')).state, 'active')
  const { stderr } = await works('resource service-key-delete asked-key', [], { input: 'y\n' })
  assert.match(stderr, /Delete the key asked-key \(k-\S+\).*deleted k-/s)
  const deleted = await works('resource service-instance-delete asked', [], { input: 'YES\n' })
  assert.match(deleted.stderr, new RegExp(id))
  assert.match(deleted.stdout, /pending_reclamation/)
})

test('keys are made, shown, listed and deleted in the words of ibmcloud, wherever they are', async () => {
  const { id } = await json('resource service-instance-create keyed go-etcd-lock standard us-south')
  const first = await works('resource service-key-create first Manager --instance-name keyed --service-id S-1 -f')
  assert.match(first.stderr, /--service-id does nothing here/)
  const parameters = ['-p', '{"expires_at":"2099-01-01T00:00:00Z"}']
  await works(`resource service-key-create second --instance-id ${id}`, parameters)
  const [one, two] = (await json('resource service-keys --instance-name keyed')).credentials
  assert.deepEqual([one.roles, two.roles].flat().sort(), ['manager', 'writer'])
  assert.deepEqual((await json('resource service-key second')).expires_at, '2099-01-01T00:00:00.000Z')
  assert.equal((await json('resource service-credential-get first')).instance, id)
  assert.match((await works('resource service-key first')).stdout, new RegExp(`instance +${id}`))
  await works('resource service-key-create first --instance-name orders')
  assert.match((await typed('resource service-key-delete first -f')).stderr, /Several credentials are called first/)
  await works('resource service-key-delete first --instance-name orders -f')
  await works('resource service-key-delete first -f')
  const missing = await typed('resource service-key-delete first -f')
  assert.deepEqual([missing.code, /no credential first/.test(missing.stderr)], [124, true])
})

test('a key looks like a service key, whichever words made it', async () => {
  const instance = await json('resource service-instance-create looks go-etcd-lock standard eu-de')
  const { port } = new URL(server.url)
  const looks = ({ credential, api_key }: Json) => ({
    apikey: api_key,
    iam_apikey_name: 'app',
    iam_role_crn: 'crn:v1:bluemix:public:iam::::serviceRole:Writer',
    iam_serviceid_crn: `crn:v1:bluemix:public:iam-identity::a/${instance.account}::serviceid:ServiceId-${credential.id}`,
    crn: instance.crn,
    guid: instance.id,
    url: server.url,
    connection: {
      http: { composed: [`${server.url}/v1`], hosts: [{ hostname: '127.0.0.1', port: Number(port) }] },
    },
  })
  const byIbm = await json('resource service-key-create app Writer --instance-name looks')
  assert.deepEqual(byIbm.credentials, looks(byIbm))
  const byUs = JSON.parse((await works('credential create app --instance looks --json')).stdout)
  assert.deepEqual(byUs.credentials, looks(byUs))
  assert.deepEqual(Object.keys(byUs), ['credential', 'api_key', 'url', 'credentials'], 'and as before beside it')
  assert.equal((await whoami(byUs.credentials.apikey)).code, 0)
  const shown = await json(`resource service-key ${byIbm.credential.id}`)
  assert.deepEqual(shown.credentials, looks({ ...byIbm, api_key: 'REDACTED' }))
  assert.equal(shown.crn, instance.crn.replace(/::$/, `:resource-key:${byIbm.credential.id}`))
})

test('who may make keys but not look at the instance gets a service key without what is known only there', async () => {
  await works('resource service-instance-create blind go-etcd-lock standard eu-de')
  const inBlind = '--instance blind'
  await works(`role put key-maker credential.create ${inBlind}`)
  const maker = JSON.parse((await works(`credential create maker --role key-maker ${inBlind} --json`)).stdout)
  const env = { HOLDFAST_API_KEY: maker.api_key }
  const { credentials } = JSON.parse(
    (await works('credential create made --role key-maker --json', [], { env })).stdout,
  )
  assert.deepEqual(Object.keys(credentials), ['apikey', 'iam_apikey_name', 'guid', 'url', 'connection'])
})

test('the names of roles are known in either case', async () => {
  const roles = async (words: string) => JSON.parse((await works(`${words} --json`)).stdout).credential.roles
  assert.deepEqual(await roles('credential create cased --role Writer --role MANAGER'), ['writer', 'manager'])
  const crn = 'crn:v1:bluemix:public:iam::::serviceRole:Reader'
  assert.deepEqual(await roles(`credential create cased --role ${crn}`), ['reader'])
  for (const role of ['READER', crn])
    assert.deepEqual(await roles(`resource service-key-create cased ${role}`), ['reader'])
  await works('role put on-call lock.read')
  const policy = JSON.parse((await works('policy create --subject key:k-1 --role On-Call --role Reader --json')).stdout)
  assert.deepEqual(policy.roles, ['on-call', 'reader'])
  await works('role delete On-Call')
})

test('a key without roles is granted them by a policy in the words of ibmcloud', async () => {
  const made = await json('iam api-key-create bare')
  const env = { HOLDFAST_API_KEY: made.credentials.apikey }
  assert.equal((await typed('acquire a-lock', [], { env })).code, 124)
  const serviceId = made.credentials.iam_serviceid_crn.split(':').at(-1)
  const policy = await json(`iam service-policy-create ${serviceId} --roles Writer,Reader --service-name go-etcd-lock`)
  assert.deepEqual([policy.subjects, policy.roles], [[`key:${made.credential.id}`], ['writer', 'reader']])
  await works('acquire a-lock', [], { env })
  for (const named of ['bare', made.credential.id])
    assert.deepEqual((await json(`iam service-policy-create ${named} --roles Reader`)).subjects, policy.subjects)
  const { id } = await json('resource service-instance-create granted go-etcd-lock standard us-south')
  const foreign = await json(`iam service-policy-create ServiceId-12ab --roles Manager --service-instance ${id}`)
  assert.deepEqual([foreign.subjects, foreign.instance], [['iam:iam-ServiceId-12ab'], id])
})
