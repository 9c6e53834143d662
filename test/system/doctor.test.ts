/** `holdfast doctor` on servers with an embedded store: one that is well, one that stops, one over TLS, and one that takes us for a stranger. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Authority } from '../harness/certificates.ts'
import { cli } from '../harness/cli.ts'
import { temporaryFolder } from '../harness/process.ts'
import { type Server, spawnServer, startServer } from '../harness/server.ts'

type Finding = { level: string; what: string; change: string }

/** As JSON, which has what people are told. */
async function doctor(url: string, words: string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Finding[]> {
  const { code, stdout, stderr } = await cli(['doctor', '--json', ...words], { url, env })
  assert.notEqual(stdout, '', stderr)
  const { problems, findings } = JSON.parse(stdout) as { problems: number; findings: Finding[] }
  assert.equal(problems, findings.filter(({ level }) => level === 'problem').length)
  assert.equal(code, problems > 0 ? 1 : 0)
  return findings
}

const lines = (findings: Finding[]) => findings.map(({ level, what, change }) => `${level}: ${what} → ${change}`)
const has = (findings: Finding[], pattern: RegExp) =>
  assert.ok(
    lines(findings).some(line => pattern.test(line)),
    lines(findings).join('\n'),
  )
const hasNot = (findings: Finding[], pattern: RegExp) =>
  assert.ok(!lines(findings).some(line => pattern.test(line)), lines(findings).join('\n'))

function folderOf(t: TestContext): string {
  const folder = temporaryFolder('doctor')
  t.after(() => folder.remove())
  return folder.path
}

async function served(t: TestContext, flags: string[] = []): Promise<Server & { data: string }> {
  const data = join(folderOf(t), 'data')
  const server = await startServer({ data, flags })
  t.after(() => server.kill())
  return { ...server, data }
}

test('of an embedded store the disk is timed: where its folder is named, and where it is the default’s', async t => {
  const { url, data } = await served(t)
  for (const [words, env] of [
    [['--data', data], {}],
    [[], { HOLDFAST_DATA: data }],
  ] as const) {
    const findings = await doctor(url, [...words], env)
    has(findings, /: the disk of .*data syncs in [\d.]+ ms, [\d.]+ ms at worst/)
    has(findings, /: .* answers from memory within/)
    hasNot(findings, /not looked at|not ready|does not answer/)
  }
  const { stdout } = await cli(['doctor', '--json'], { url, cwd: join(data, '..') })
  assert.match(stdout, /the disk of \.\/data syncs in/)
  const nothing = await cli(['doctor', '--data', join(data, 'store')], { url })
  assert.deepEqual([nothing.code, nothing.stdout], [124, ''])
  assert.match(nothing.stderr, /There is no cluster in .*, and no server keeps its store there/)
})

test('a server that is not ready is a problem, with its reason and what to do', async t => {
  const server = await served(t, ['--drain-ready-ms', '60000'])
  server.child.kill('SIGTERM')
  while ((await fetch(`${server.url}/readyz`)).ok) await sleep(20)
  has(await doctor(server.url), /^problem: http:\S+ is not ready: stopping → It was told to stop/)
})

test('over TLS it trusts whom it is told to, and says that it does not trust', async t => {
  const folder = folderOf(t)
  const made = await cli(['dev-certs', '--out', folder], { url: '' })
  assert.equal(made.code, 0, made.stderr)
  const flags = ['--tls-cert', join(folder, 'server.pem'), '--tls-key', join(folder, 'server-key.pem')]
  const server = await spawnServer({ data: join(folder, 'data'), flags })
  t.after(() => server.kill())
  const url = `https://localhost:${server.port}`
  const ca = join(folder, 'ca.pem')
  const isUp = async () => !(await doctor(url, ['--ca', ca])).some(({ what }) => /ECONNREFUSED/.test(what))
  for (let tries = 0; tries < 60 && !(await isUp()); tries++) await sleep(100)
  const distrusted = /^problem: \S+ does not answer \((UNABLE|SELF_SIGNED|DEPTH)\w+\) → .*--ca, or HOLDFAST_CA/
  has(await doctor(url), distrusted)
  for (const findings of [await doctor(url, ['--ca', ca]), await doctor(url, [], { HOLDFAST_CA: ca })]) {
    has(findings, /: https:\S+ answers from memory/)
    hasNot(findings, /does not answer|not looked at/)
  }
  // Somebody else's authority.
  const other = join(folder, 'other.pem')
  writeFileSync(other, new Authority('other').certificate)
  has(await doctor(url, ['--ca', other]), distrusted)
})

test('what a stranger may not see is said to be left out; a key opens it', async t => {
  const server = await served(t)
  // As from another machine.
  const between = createServer((request, response) => {
    const { authorization } = request.headers
    fetch(`${server.url}${request.url}`, { headers: { via: '1.1 test', ...(authorization && { authorization }) } })
      .then(async answer => response.writeHead(answer.status).end(await answer.text()))
      .catch(() => response.destroy())
  })
  await new Promise<void>(resolve => between.listen(0, '127.0.0.1', resolve))
  t.after(() => between.close())
  // Listening on a host and port, the address is no text.
  const url = `http://127.0.0.1:${(between.address() as AddressInfo).port}`
  const left = /^notice: not looked at: stalls, clock steps and TTLs of \S+: it answers 401: .*→ Name a key/
  has(await doctor(url, [], { HOLDFAST_API_KEY: undefined }), left)
  has(await doctor(url, [], { HOLDFAST_API_KEY: 'none-of-the-server-s-keys' }), left)
  hasNot(await doctor(url), /not looked at/)
  const unfit = await doctor(url, [], { HOLDFAST_API_KEY: 'two\nlines-of-a-secret' })
  has(unfit, /not looked at: .*a character that no key has/)
  hasNot(unfit, /lines-of-a-secret/)
})

test('why a server does not answer is said, and what answers and is none of ours is no server', async t => {
  const other = createServer((_request, response) => response.writeHead(404).end())
  await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
  t.after(() => other.close())
  // Listening on a host and port, the address is no text.
  const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`
  has(await doctor(url), /^problem: \S+ does not answer \(\/readyz is answered with 404\) → Is the address/)
  has(await doctor('http://nobody.invalid'), /^problem: \S+ does not answer \((ENOTFOUND|EAI_AGAIN)\) → Start it/)
  const { code, stderr } = await cli(['doctor', '--url', 'localhost:7420'], { url: '' })
  assert.equal(code, 124)
  assert.match(stderr, /The service's address is no URL/)
})
