/** What a user gets from the registry, on the oldest Node that it promises, in Deno and in Bun: no sources, no flags, no condition. */
import { strict as assert } from 'node:assert'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { copyFileSync, existsSync, globSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { packages } from '../../scripts/pack.ts'
import { freePort, temporaryFolder } from '../harness/process.ts'
import { bun, deno, node22, notHere } from './platforms.ts'
import { installPublished, type Project } from './project.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const key = 'hf_test_0123456789abcdef0123456789abcdef'
const READY_MS_MAX = 60_000
let project: Project
let server: { child: ChildProcess; url: string }

before(async () => {
  project = installPublished()
  copyFileSync(fileURLToPath(new URL('hold.mjs', import.meta.url)), join(project.folder, 'hold.mjs'))
  const dependencies = Object.fromEntries(['client', 'cli'].map(name => [`@holdfast/${name}`, '*']))
  writeFileSync(join(project.folder, 'package.json'), JSON.stringify({ type: 'module', dependencies }))
  if (!notHere) server = await serve(await freePort())
})

after(async () => {
  await stop()
  project.remove()
})

/** Nothing of this process: neither our flags nor a key. */
function environment(more: Record<string, string> = {}): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, HOME: project.folder, DENO_NO_UPDATE_CHECK: '1', ...more }
}

async function serve(port: number): Promise<{ child: ChildProcess; url: string }> {
  const url = `http://127.0.0.1:${port}`
  const args = [project.command, 'serve', '--listen', `127.0.0.1:${port}`, '--data', 'data', '--log-level', 'warn']
  const child = spawn(node22(), args, {
    cwd: project.folder,
    env: environment({ HOLDFAST_ROOT_KEY: key }),
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  for (let waited = 0; waited < READY_MS_MAX && child.exitCode === null; waited += 20) {
    const response = await fetch(`${url}/readyz`).catch(() => null)
    if (response?.ok) return { child, url }
    await sleep(20)
  }
  throw new Error(`the published server was not ready; its exit code: ${child.exitCode}`)
}

async function stop(): Promise<void> {
  if (!server || server.child.exitCode !== null) return
  const exited = new Promise(resolve => server.child.once('exit', resolve))
  server.child.kill('SIGTERM')
  await exited
}

function holdfast(...args: string[]): string {
  return execFileSync(node22(), [project.command, ...args], {
    cwd: project.folder,
    encoding: 'utf8',
    env: environment({ HOLDFAST_URL: server.url, HOLDFAST_API_KEY: key }),
  }).trim()
}

const onPlatform = { skip: notHere }

test('the Node of these tests is the oldest one that the packages promise', onPlatform, () => {
  const [, promised = ''] = /^>=(\d+\.\d+)$/.exec(project.manifest('server').engines.node) ?? []
  for (const name of packages) assert.equal(project.manifest(name).engines.node, `>=${promised}`)
  const version = execFileSync(node22(), ['--version'], { encoding: 'utf8' }).trim()
  // There is none of 22.13.0.
  assert.equal(version, `v${promised}.1`)
})

test('a package has what it exports, and no tests', () => {
  for (const name of packages) {
    const folder = project.packageFolder(name)
    for (const [path, conditions] of Object.entries(project.manifest(name).exports))
      for (const [condition, file] of Object.entries(conditions))
        assert.ok(existsSync(join(folder, file)), `${name}: ${path} under ${condition} is not there`)
    const files = globSync('**', { cwd: folder, exclude: ['node_modules'] })
    assert.deepEqual(
      files.filter(file => /\.test\.|testing|tsbuildinfo/.test(file)),
      [],
      name,
    )
    assert.ok(files.some(file => file.startsWith('dist')))
  }
})

test('every export loads on Node 22', onPlatform, () => {
  for (const name of packages) {
    // The entry of the command line and that of the server's process do something when loaded as a program; as modules they do not.
    const paths = Object.keys(project.manifest(name).exports).map(path => path.replace(/^\./, `@holdfast/${name}`))
    const code = `for (const path of ${JSON.stringify(paths)}) await import(path)`
    const cwd = name === 'cli' || name === 'client' ? project.folder : project.packageFolder(name)
    execFileSync(node22(), ['--input-type=module', '-e', code], { cwd, env: environment() })
  }
})

test(
  'the command line of the package holds and releases locks on Node 22, and its server keeps them on disk',
  onPlatform,
  async () => {
    assert.ok(existsSync(join(project.folder, 'data', 'store')), 'not on LMDB')
    const id = holdfast('acquire', 'orders', '--ttl', '1h')
    assert.match(id, /^\S{20,}$/)
    assert.match(holdfast('run', 'job', '--', 'sh', '-c', 'echo "token $HOLDFAST_TOKEN"'), /^token \d+$/)
    await stop()
    server = await serve(await freePort())
    assert.throws(() => holdfast('acquire', 'orders'), { status: 120 })
    holdfast('release', 'orders', id)
    assert.notEqual(holdfast('acquire', 'orders'), id)
  },
)

const programs: Record<string, () => [string, string[]]> = {
  'Node 22': () => [node22(), []],
  // What it needs is to reach the service, and nothing else.
  Deno: () => [deno(), ['run', '--no-prompt', '--cached-only', `--allow-net=${new URL(server.url).host}`]],
  Bun: () => [bun(), ['run', '--no-install']],
}

for (const [platform, command] of Object.entries(programs)) {
  test(`the library of the package holds a lock in ${platform}`, onPlatform, () => {
    const [file, args] = command()
    const program = [...args, 'hold.mjs', server.url, key, `held/${platform}`]
    const printed = execFileSync(file, program, { cwd: project.folder, encoding: 'utf8', env: environment() })
    // Printed by hold.mjs.
    const { token, source, ...seen } = JSON.parse(printed) as Record<string, unknown>
    assert.deepEqual(seen, { remains: true, aborted: false, excludes: true, state: 'held', grows: true })
    assert.ok(Number.isSafeInteger(token))
    assert.match(String(source), /\/dist\/index\.js$/)
  })
}

const consumers = {
  'nodenext with the types of Node': {
    module: 'nodenext',
    lib: ['es2023', 'esnext.disposable'],
    types: ['node'],
    typeRoots: [join(root, 'node_modules/@types')],
  },
  'bundler with the types of a browser': {
    module: 'esnext',
    moduleResolution: 'bundler',
    lib: ['es2023', 'esnext.disposable', 'dom'],
    types: [],
  },
} as const

for (const [name, options] of Object.entries(consumers)) {
  test(`the types of the package are found and say something under ${name}`, () => {
    writeFileSync(join(project.folder, 'consumer.ts'), consumer)
    const compilerOptions = { ...options, target: 'es2022', strict: true, noEmit: true, skipLibCheck: false }
    writeFileSync(join(project.folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }))
    execFileSync(join(root, 'node_modules/.bin/tsc'), ['--project', project.folder], { stdio: 'inherit' })
  })
}

/** The marks make the compiler fail where a type has become `any`. */
const consumer = `
import { connect, type Lock, LockLostError } from '@holdfast/client'

export async function consume(): Promise<number> {
  await using holdfast = connect({ url: 'http://localhost:7420', apiKey: 'a key' })
  // @ts-expect-error: a token is a number
  const wrong: string = await holdfast.using('a', async (lock: Lock) => lock.token)
  // @ts-expect-error: there is no such option
  await holdfast.acquire('a', { waitMilliseconds: 3 })
  try {
    for await (const item of holdfast.watch({ prefix: 'a/' })) if (item.type === 'reset') return item.cursor.length
  } catch (error) {
    if (error instanceof LockLostError && error.reason === 'preempted') return 1
  }
  return wrong.length
}
`

test('what the README says of a project of your own works', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  const [, packs = '', installs = ''] =
    /^(npm run pack -- \/tmp\/holdfast) .*\n(npm install \/tmp\/holdfast\/\*\.tgz) /m.exec(readme) ?? []
  assert.equal(packs, 'npm run pack -- /tmp/holdfast', 'as these packages were made')
  const own = temporaryFolder('own')
  try {
    const typed = `${installs.replace('/tmp/holdfast', join(project.folder, 'packed'))} && npx holdfast --version`
    const env = { ...process.env, npm_config_prefer_offline: 'true' }
    const said = execFileSync('sh', ['-c', typed], {
      cwd: own.path,
      env,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    assert.match(said, /^0\.\d+\.\d+$/m)
    const program = "import('@holdfast/client').then(({ connect }) => console.log(typeof connect))"
    assert.equal(execFileSync('node', ['-e', program], { cwd: own.path, encoding: 'utf8' }).trim(), 'function')
  } finally {
    own.remove()
  }
})

test('nothing of this checkout is used by the project but what its packages declare', () => {
  assert.deepEqual(readdirSync(join(project.folder, 'node_modules')).sort(), ['.bin', '@holdfast'])
  for (const name of packages) {
    const declared = Object.keys(project.manifest(name).dependencies ?? {})
    const found = globSync('node_modules/{@*/*,[!@]*}', { cwd: project.packageFolder(name) })
    assert.deepEqual(found.map(path => path.slice('node_modules/'.length)).sort(), declared.sort())
    assert.ok(!readFileSync(join(project.packageFolder(name), 'package.json'), 'utf8').includes('workspace:'))
  }
})
