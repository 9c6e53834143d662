/** The page on a key for each person: what it says to type is typed, in its order, on a real server; and no key does more than the page says. */
import { strict as assert } from 'node:assert'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { bin } from '../harness/cli.ts'
import { temporaryFolder } from '../harness/process.ts'
import { type Ask, asker } from '../harness/rest.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'

const read = (file: string) => readFileSync(fileURLToPath(new URL(`../../docs/${file}`, import.meta.url)), 'utf8')
const page = read('access/people.md')
const blocksOf = (language: string) =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(([, text = '']) => text.trim())
const folder = temporaryFolder('people')
let server: Server
let operator = ''
let auditor = ''
let scraper = ''

before(async () => {
  server = await startServer({ data: folder.path })
})
after(async () => {
  await server.stop()
  folder.remove()
})

/** As somebody would type it, with this key: what each line says. */
async function typed(block: string, key = rootKey): Promise<string[]> {
  const said: string[] = []
  for (const command of block.split('\n')) {
    const { code, stdout, stderr } = await run(command, key)
    assert.equal(code, 0, `${command}: ${stderr}`)
    said.push(stdout)
  }
  return said
}

function run(command: string, key: string): Promise<{ code: number; stdout: string; stderr: string }> {
  const line = command.replace(/^holdfast /, `'${process.execPath}' '${bin}' `)
  const env = { ...process.env, HOLDFAST_URL: server.url, HOLDFAST_API_KEY: key, NODE_TEST_CONTEXT: undefined }
  return new Promise(resolve => {
    execFile('sh', ['-c', line], { env, cwd: folder.path }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr })
    })
  })
}

const keyIn = (text = '') => /HOLDFAST_API_KEY +(\S+)/.exec(text)?.[1] ?? assert.fail(text)
const askedWith =
  (key: string): Ask =>
  (method, path, body, headers) =>
    asker(server.url)(method, path, body, { authorization: `Bearer ${key}`, ...headers })

test('each command of the page works, in its order, with the key that it is for', async () => {
  const [operators = '', ann = '', auditors = '', carla = '', scrapers = '', ...more] = blocksOf('sh')
  assert.deepEqual(more, [])
  operator = keyIn((await typed(operators))[0])
  assert.equal((await run('holdfast acquire orders --ttl 1h', rootKey)).code, 0)
  const forced = (await typed(ann, operator))[2]
  assert.match(forced ?? '', /lock\/orders .*by key:k-[0-9a-f]+/)
  assert.doesNotMatch(forced ?? '', /by root/)
  auditor = keyIn((await typed(auditors))[1])
  const [listed = '', verified = '', , history = '', keys = ''] = await typed(carla, auditor)
  assert.match(listed, /credential\.create .*name carla; .*roles auditor/, 'whose key it is, and what it may do')
  assert.match(verified, /none of them touched/)
  assert.match(history, /forced/)
  for (const name of ['ann', 'carla']) assert.match(keys, new RegExp(name))
  scraper = keyIn((await typed(scrapers))[1])
})

test('what was written is whole in JSON and in exports, of both kinds, which nobody has touched', async () => {
  const [json = '', verified = '', cadf = ''] = await typed(
    'holdfast audit list --action role.write --oldest --json\nholdfast audit verify trail.jsonl\nholdfast audit export --action role.write --format cadf',
    auditor,
  )
  const actions = ['audit.read', 'credential.read', 'lock.list', 'lock.read']
  const value = { title: 'reads what was done', actions }
  const changed = [{ kind: 'role', id: 'auditor', value }]
  assert.deepEqual(JSON.parse(json).records[0].changed, changed)
  assert.match(verified, /none of them touched/)
  assert.ok(readFileSync(join(folder.path, 'trail.jsonl'), 'utf8').includes(JSON.stringify(changed)))
  assert.deepEqual(JSON.parse(cadf.split('\n')[0] ?? '').requestData, { changed })
})

test('an auditor reads and does nothing: 403, and it is in the trail', async () => {
  const ask = askedWith(auditor)
  for (const [method, path, body] of [
    ['POST', '/v2/locks/orders/force-release', { reason: 'test' }],
    ['POST', '/v2/freezes', { prefix: 'orders', until: '2099-01-01T00:00:00Z', reason: 'test' }],
    ['POST', '/v2/locks/orders/acquire', {}],
    ['POST', '/v2/credentials', { name: 'more', roles: ['manager'] }],
    ['POST', '/v2/policies', { subjects: ['*'], roles: ['manager'] }],
  ] as const)
    assert.equal((await ask(method, path, body)).status, 403, `${method} ${path}`)
  const { code, stderr } = await run('holdfast force-release orders --reason test', auditor)
  assert.notEqual(code, 0)
  assert.match(stderr, /does not permit/)
  const denied = async () => (await run('holdfast audit list --outcome denied', auditor)).stdout
  // Denials are told in bunches.
  for (let look = 0; look < 50 && !/lock\.force-release/.test(await denied()); look++)
    await new Promise(resolve => setTimeout(resolve, 100))
  assert.match(await denied(), /lock\.force-release .*lock\/orders/)
})

test('an operator gives no rights, and a scraper reads metrics and nothing else', async () => {
  const body = { name: 'more', roles: ['manager'] }
  assert.equal((await askedWith(operator)('POST', '/v2/credentials', body)).status, 403)
  const authorization = `Bearer ${scraper}`
  const answer = await fetch(`${server.url}/metrics`, { headers: { authorization } })
  assert.equal(answer.status, 200)
  assert.match(await answer.text(), /^holdfast_commit_seconds_count/m)
  for (const path of ['/v2/locks', '/v2/audit', '/v2/credentials'])
    assert.equal((await askedWith(scraper)('GET', path)).status, 403, path)
  const [scrape = ''] = blocksOf('yaml')
  const job = /job_name: (\S+)/.exec(scrape)?.[1]
  assert.ok(read('alerts.yml').includes(`job="${job}"`), 'the alerts look for it')
  // Prometheus sends what is in the file as `Bearer`, unless `type` says otherwise.
  assert.match(scrape, /^ {4}authorization:\n {6}credentials_file: \S+$/m)
})
