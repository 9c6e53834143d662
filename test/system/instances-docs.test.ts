/** The page on instances: what it says to type is typed, in its order, on a real server; and two teams on one server do not meet. */
import { strict as assert } from 'node:assert'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { connect } from '@holdfast/client'
import { bin, cli } from '../harness/cli.ts'
import { temporaryFolder } from '../harness/process.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'

const page = readFileSync(fileURLToPath(new URL('../../docs/access/instances.md', import.meta.url)), 'utf8')
const blocks = [...page.matchAll(/^```sh\n(.*?)^```/gms)].map(match => (match[1] ?? '').trim())
const folder = temporaryFolder('instances')
let server: Server

before(async () => {
  server = await startServer({ data: folder.path })
})
after(async () => {
  await server.stop()
  folder.remove()
})

/** As somebody would type it, with this key. */
function typed(command: string, key = rootKey): Promise<{ code: number; stdout: string; stderr: string }> {
  const line = command.replace(/^holdfast /, `'${process.execPath}' '${bin}' `)
  const env = { ...process.env, HOLDFAST_URL: server.url, HOLDFAST_API_KEY: key, NODE_TEST_CONTEXT: undefined }
  return new Promise(resolve => {
    execFile('sh', ['-c', line], { env }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr })
    })
  })
}

async function works(command: string, key?: string): Promise<string> {
  const { code, stdout, stderr } = await typed(command, key)
  assert.equal(code, 0, `${command}: ${stderr}`)
  return stdout
}

const keyIn = (text: string) => /HOLDFAST_API_KEY +(\S+)/.exec(text)?.[1] ?? assert.fail(text)

test('each command of the page works, in its order', async () => {
  const [create = '', first = '', own = '', keys = '', life = '', ibm = '', ...more] = blocks
  assert.deepEqual(more, [])
  const made = await works(create)
  assert.match(made, /crn:v1:bluemix:public:\S+:eu-de:a\/\S+::/)
  assert.match(made, /standard, 20 capacity units/)
  const key = keyIn(await works(first))
  const said: string[] = []
  for (const command of own.split('\n')) said.push(await works(command, key))
  assert.match(said[2] ?? '', /nobody else is here/)
  const ci = keyIn(said[1] ?? '')
  const [rotate = '', ...others] = keys.split('\n')
  const next = keyIn(await works(rotate, key))
  for (const either of [ci, next]) assert.equal((await typed('holdfast whoami', either)).code, 0, 'the old one goes on')
  for (const command of others) await works(command, key)
  for (const either of [ci, next]) assert.notEqual((await typed('holdfast whoami', either)).code, 0, 'both have ended')
  for (const command of life.split('\n')) await works(command)
  assert.equal((await typed('holdfast whoami', key)).code, 0, 'restored, with its keys')
  for (const command of ibm.split('\n')) await works(command)
})

test('an instance is found by its name, from the environment too; a name that nobody has is said, and so is where to look', async () => {
  await works('holdfast instance create by-name --plan standard --capacity-units 10')
  await works('holdfast run a-lock --instance by-name -- true')
  process.env.HOLDFAST_INSTANCE = 'by-name'
  const ids = await works('holdfast run a-lock -- printenv HOLDFAST_INSTANCE')
  assert.match(await works('holdfast audit list'), /lock\/a-lock/)
  delete process.env.HOLDFAST_INSTANCE
  assert.match(await works('holdfast instance show by-name'), new RegExp(`id +${ids.trim()}`))
  const { code, stderr } = await typed('holdfast list --instance by-nam')
  assert.equal(code, 124)
  assert.match(stderr, /no instance by-nam;.*instance list/)
})

test('what one team does is not visible to the other, whatever it asks', async () => {
  const make = async (name: string) => {
    const { stdout } = await cli(['instance', 'create', name, '--json'], { url: server.url })
    const { id } = JSON.parse(stdout) as { id: string }
    const args = [
      'credential',
      'create',
      'k',
      '--instance',
      id,
      '--role',
      'manager',
      '--role',
      'administrator',
      '--json',
    ]
    const created = await cli(args, { url: server.url })
    return { id, key: (JSON.parse(created.stdout) as { api_key: string }).api_key }
  }
  const [red, blue] = [await make('red'), await make('blue')]
  const holders = [red, blue].map(({ key }) => connect({ url: server.url, apiKey: key }))
  const locks = await Promise.all(holders.map(holder => holder.acquire('the-same-name')))
  assert.deepEqual(
    locks.map(lock => lock.signal.aborted),
    [false, false],
  )
  const env = { HOLDFAST_API_KEY: red.key }
  const listed = JSON.parse((await cli(['list', '--json'], { url: server.url, env })).stdout) as { locks: unknown[] }
  assert.equal(listed.locks.length, 1)
  for (const args of [
    ['list', '--instance', blue.id],
    ['show', 'the-same-name', '--instance', blue.id],
    ['force-release', 'the-same-name', '--reason', 'x', '--instance', blue.id],
    ['credential', 'list', '--instance', blue.id],
    ['instance', 'show', blue.id],
    ['instance', 'delete', blue.id],
  ]) {
    const { code, stderr, stdout } = await cli(args, { url: server.url, env })
    assert.notEqual(code, 0, args.join(' '))
    assert.match(stderr, /[Tt]here is no|There is no such/, args.join(' '))
    assert.equal(stdout, '')
  }
  for (const lock of locks) await lock.release()
  for (const holder of holders) await holder.close()
})
