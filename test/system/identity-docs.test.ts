/** The page on identities: every file in it is accepted by what reads such files, every flag exists, and what it says to type is typed. */
import { strict as assert } from 'node:assert'
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { decodeJwt } from 'jose'
import { readConfig, settingRows } from '../../packages/server/src/config/config.ts'
import { readAccount } from '../../packages/server/src/iam-emulator/index.ts'
import { startCli as start } from '../harness/cli.ts'
import { freePort, temporaryFolder } from '../harness/process.ts'

const page = readFileSync(fileURLToPath(new URL('../../docs/access/identity.md', import.meta.url)), 'utf8')
const blocks = (language: string) =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(match => match[1] ?? '')
/** It asks no Holdfast. */
const startCli = (args: string[]) => start(args, { url: 'http://127.0.0.1:1' })
const folder = temporaryFolder('identity')
after(() => folder.remove())

function written(content: string): string {
  const path = join(folder.path, 'file.json')
  writeFileSync(path, content)
  return path
}

const issuerFiles = blocks('json').filter(block => block.includes('"issuers"'))
const accountFiles = blocks('json').filter(block => block.includes('"identities"'))

test('each file of issuers on the page is accepted', () => {
  const kinds = issuerFiles.flatMap(block => readConfig({ args: ['--issuers', written(block)], env: {} }).issuers)
  assert.deepEqual(
    kinds.map(({ name, kind }) => `${name}: ${kind}`),
    ['ibm: ibm', 'corporate: oidc', 'prod: kubernetes', 'emulator: ibm'],
  )
})

test('each flag and each field on the page is one', () => {
  const flags = settingRows().map(({ flag }) => flag)
  const named = [...page.matchAll(/`(--[a-z-]+)/g)].map(match => match[1] ?? '').filter(flag => flag !== '--file')
  assert.ok(named.length >= 5)
  for (const flag of named) assert.ok(flags.includes(flag), flag)
  const fields = [...page.matchAll(/^\| `([a-z_]+)` \|/gm)].map(match => match[1] ?? '')
  assert.equal(fields.length, 13)
  const values: Record<string, unknown> = {
    name: 'a',
    kind: 'ibm',
    issuer: 'https://a.example',
    algorithms: 'RS256',
    clock_skew_ms: 1,
    instance: 'a',
    jwks_uri: 'https://a.example',
  }
  const all = Object.fromEntries(fields.map(field => [field, values[field] ?? 'text']))
  assert.doesNotThrow(() => readConfig({ args: ['--issuers', written(JSON.stringify({ issuers: [all] }))], env: {} }))
})

test('the file of an account on the page is accepted by the emulator', async () => {
  assert.equal(accountFiles.length, 1)
  const path = written(accountFiles[0] ?? '')
  assert.equal(readAccount(path).identities.length, 2)
  const emulator = startCli(['iam-emulator', '--listen', '127.0.0.1:0', '--file', path])
  await emulator.says(/iam-Profile-batch/)
  assert.match(emulator.stderr(), /for development and tests: never trust its tokens in production/)
  assert.doesNotMatch(emulator.stdout(), /some-key-for-development/, "a person's own keys are not shown")
  emulator.child.kill('SIGTERM')
  assert.equal((await emulator.ended).code, 0)
  const wrong = await startCli(['iam-emulator', '--listen', '0.0.0.0:0']).ended
  assert.deepEqual([wrong.code, /on this machine only/.test(wrong.stderr)], [124, true])
})

test('a key is exchanged for a token with the command on the page', async () => {
  const port = await freePort()
  const emulator = startCli(['iam-emulator', '--listen', `127.0.0.1:${port}`])
  try {
    await emulator.says(/issuer/)
    const [command = ''] = blocks('sh')
    const answer = execFileSync('sh', ['-c', command.replace(':7421', `:${port}`)], { encoding: 'utf8' })
    const claims = decodeJwt(JSON.parse(answer).access_token)
    assert.equal(claims.iam_id, 'iam-ServiceId-c0ffee00-1111-4222-8333-444455556666')
    assert.equal(claims.iss, `http://127.0.0.1:${port}/identity`)
  } finally {
    emulator.child.kill('SIGTERM')
    await emulator.ended
  }
})
