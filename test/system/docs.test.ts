/** What the docs tell people to type, typed. A block that cannot be tried is not in `sh` or `ts`. */
import { strict as assert } from 'node:assert'
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { nodeFlags } from '../../scripts/node.mjs'
import { freePort, temporaryFolder } from '../harness/process.ts'
import { startServer } from '../harness/server.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = temporaryFolder('docs')
const data = join(folder.path, 'data')
const demo = join(root, 'demo.ts')
/** Somebody's own, from trying the README. */
const ownDemo = existsSync(demo) ? readFileSync(demo) : null
/** A person's shell knows nothing of this test run. */
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(HOLDFAST_|NODE_|npm_)/.test(name)),
) as NodeJS.ProcessEnv

let url = ''
let welcome = ''
let started: ChildProcess
let isStopped = false

before(async () => {
  const port = await freePort()
  url = `http://127.0.0.1:${port}`
  const args = ['start', '--', '--listen', `127.0.0.1:${port}`, '--data', data]
  started = spawn('npm', args, { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise<void>((resolve, reject) => {
    started.once('exit', code => reject(new Error(`npm start ended with ${code}: ${welcome}`)))
    started.stdout?.on('data', (text: Buffer) => {
      welcome += text.toString()
      if (welcome.includes('With the same name')) resolve()
    })
  })
})

after(async () => {
  await stop()
  if (ownDemo) writeFileSync(demo, ownDemo)
  else rmSync(demo, { force: true })
  folder.remove()
})

function stop(): Promise<unknown> {
  if (isStopped) return Promise.resolve()
  isStopped = true
  // npm goes first; its output is closed when the server is gone too.
  const exit = new Promise(resolve => started.once('close', resolve))
  started.kill('SIGTERM')
  return exit
}

test('`npm start` says where everything is', () => {
  assert.ok(welcome.includes(`listens on ${url}`))
  const key = /root key +(\S+)/.exec(welcome)?.[1] ?? ''
  assert.ok(readFileSync(key, 'utf8').length > 16)
})

test('the three things that `npm start` prints work as they are pasted', async () => {
  const [, curl = '', run = '', program = ''] = welcome.split(/^\d\. .*$/m)
  assert.match(await shell(curl), /"token":\d+/)
  assert.equal(await shell(run), '')
  assert.match(await shell(program.replace(/^With the same name[\s\S]*/m, '')), /^mine, with token \d+$/m)
})

test('the commands of the README work', async () => {
  const commands = blocks('README.md', 'sh').filter(({ text }) => !/^npm /m.test(text))
  const [curl, run, ...others] = commands
  assert.deepEqual(others, [], 'a block that this test does not know')
  await shell(`curl -s -X DELETE ${url}/v1/locks/none -H "Authorization: Bearer $(cat ${data}/root.key)"`)
  // The lock that was pasted above is held, and `curl` says so; that is an answer too.
  assert.match(await shell(here(curl?.text)), /"token":\d+|lock_held/)
  assert.equal(await shell(here(run?.text), access()), '')
})

for (const page of ['README.md', 'packages/client/README.md']) {
  test(`the program of ${page} runs`, async () => {
    const programs = blocks(page, 'ts')
    assert.equal(programs.length, 1)
    // Below the checkout, for it imports the library by its name.
    mkdirSync(join(root, '.cache'), { recursive: true })
    const file = `.cache/readme-${process.pid}.ts`
    writeFileSync(join(root, file), programs[0]?.text ?? '')
    try {
      assert.match(await shell(`node scripts/run.mjs ${file}`, access()), /^mine, with token \d+$/m)
    } finally {
      rmSync(join(root, file))
    }
  })
}

test('the commands for an operator at night work', async () => {
  const [night] = blocks('docs/operations.md', 'sh')
  // The README's may be held still, and for half a minute only: on a busy machine the commands take longer.
  await shell('npx holdfast force-release orders --reason test --now || true', access())
  await shell('npx holdfast acquire orders --ttl 1h', access())
  const said = await shell(here(night?.text))
  for (const expected of [/^ready$/m, /orders/, /granted/]) assert.match(said, expected)
  assert.match(await shell('npx holdfast list --json', access()), /^(?![\s\S]*"name":"orders","state":"held")/)
})

test('an operator’s own key does at night what the root key does, under another name', async () => {
  const [night, own] = blocks('docs/operations.md', 'sh')
  const key = /HOLDFAST_API_KEY +(\S+)/.exec(await shell(here(own?.text), access()))?.[1] ?? ''
  assert.match(key, /^hfk_/)
  await shell('npx holdfast force-release orders --reason test --now', access())
  await shell('npx holdfast acquire orders --ttl 1h', access())
  const commands = here(night?.text).replace(/^export HOLDFAST_API_KEY=.*$/m, `export HOLDFAST_API_KEY=${key}`)
  assert.ok(commands.includes(key))
  await shell(commands)
  const said = await shell('npx holdfast audit list --lock orders --action lock.force-release --limit 1', access())
  assert.match(said, /by key:k-/)
})

test('the metrics that operations.md names exist, and it names all of ours', async () => {
  const page = readFileSync(join(root, 'docs/operations.md'), 'utf8')
  const served = await (await fetch(`${url}/metrics`)).text()
  const known = new Set([...served.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name))
  const named = [...page.matchAll(/`((?:holdfast|process)_[a-z_]+)`/g)].map(([, name]) => name)
  assert.deepEqual(
    named.filter(name => !known.has(name)),
    [],
  )
  const ours = [...known].filter(name => name?.startsWith('holdfast_'))
  assert.deepEqual(
    ours.filter(name => !named.includes(name)),
    [],
  )
})

test('what is generated is fresh', async () => {
  await shell(`${process.execPath} ${nodeFlags.join(' ')} scripts/generate.ts --check`)
})

test('the copy that operations.md makes has what the server had', async () => {
  const granted = await shell(
    // For an hour: on a busy machine a stop, a copy and a start take a while.
    `curl -s -X POST ${url}/v1/locks/kept/acquire -H "Authorization: Bearer $(cat ${data}/root.key)" -H 'Content-Type: application/json' -d '{"ttl_seconds":3600}'`,
  )
  await stop()
  const [, , copy] = blocks('docs/operations.md', 'sh')
  assert.match(copy?.text ?? '', /^cp /)
  await shell(copy?.text ?? '', {}, folder.path)
  const server = await startServer({
    data: join(folder.path, 'data-copy'),
    env: { HOLDFAST_ROOT_KEY: readFileSync(join(data, 'root.key'), 'utf8').trim() },
  })
  const shown = await shell(`curl -s ${server.url}/v1/locks/kept -H "Authorization: Bearer $(cat ${data}/root.key)"`)
  await server.stop()
  const tokenOf = (text: string) => /"token":(\d+)/.exec(text)?.[1]
  assert.equal(tokenOf(shown), tokenOf(granted))
  assert.ok(tokenOf(shown))
})

type Block = { text: string }

function blocks(file: string, language: string): Block[] {
  const page = readFileSync(join(root, file), 'utf8')
  const fences = [...page.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)]
  return fences.filter(([, name]) => name === language).map(([, , text = '']) => ({ text }))
}

/** The docs speak of a server in its default place. */
function here(text = ''): string {
  assert.notEqual(text, '')
  return text.replaceAll('http://127.0.0.1:7420', url).replaceAll('data/root.key', join(data, 'root.key'))
}

function access(): NodeJS.ProcessEnv {
  return { HOLDFAST_URL: url, HOLDFAST_API_KEY: readFileSync(join(data, 'root.key'), 'utf8').trim() }
}

/** Standard output. A command that fails, fails the test. */
function shell(script: string, more: NodeJS.ProcessEnv = {}, cwd = root): Promise<string> {
  const child = spawn('bash', ['-e', '-o', 'pipefail', '-c', script], { cwd, env: { ...env, ...more } })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (text: Buffer) => {
      output[name] += text.toString()
    })
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => {
      if (code === 0) resolve(output.stdout)
      else reject(new Error(`${script}\nended with ${code}: ${output.stdout}${output.stderr}`))
    })
  })
}
