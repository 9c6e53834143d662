/**
 * A server that says all it can (log level `debug`, every request logged), used and misused with every kind of secret that there is; then everything that
 * has come of it is searched for them: what it has written, its metrics, its trail and where that was sent, its files, the arguments of every process.
 */
import { strict as assert } from 'node:assert'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import {
  exampleIdentities,
  startIamEmulator,
  systemClock,
  systemRandom,
} from '../../packages/server/src/iam-emulator/index.ts'
import { cli, startCli } from '../harness/cli.ts'
import { Line } from '../harness/line.ts'
import { freePort, temporaryFolder } from '../harness/process.ts'
import { type Ask, asker, openSession } from '../harness/rest.ts'
import { argumentsOfAll, assertNowhere, filesOf, type Places } from '../harness/secrets.ts'
import { rootKey } from '../harness/server.ts'
import { asked, makeKey } from '../harness/teams.ts'

const folder = temporaryFolder('secrets')
const kept = temporaryFolder('secrets-kept')
after(() => {
  folder.remove()
  kept.remove()
})

/** Not a secret: that it is found shows that the search finds. */
const MARK = 'found-if-it-is-there'

type Ran = { secrets: Set<string>; places: Places }
type Using = Ran & { url: string; ask: Ask }

const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

/** A service that takes what it is sent, but for every other time. */
async function startSink(t: TestContext): Promise<{ url: string; heard: () => string }> {
  let heard = ''
  let count = 0
  const server = createServer((incoming, outgoing) => {
    heard += JSON.stringify(incoming.headers)
    incoming.on('data', data => {
      heard += String(data)
    })
    incoming.on('end', () => {
      outgoing.statusCode = count++ % 2 === 0 ? 500 : 204
      outgoing.end()
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return { url: `http://127.0.0.1:${address.port}/trail`, heard: () => heard }
}

async function run(t: TestContext, { data, flags }: { data: string; flags: string[] }): Promise<Ran> {
  const webhookSecret = `canary-webhook-${randomBytes(16).toString('hex')}`
  const secrets = new Set([rootKey, webhookSecret])
  const sink = await startSink(t)
  const identities = { account: exampleIdentities, listen: { host: '127.0.0.1', port: 0 } }
  const emulator = await startIamEmulator({ ...identities, clock: systemClock, random: systemRandom })
  t.after(() => emulator.close())
  const issuers = `${data}-issuers.json`
  writeFileSync(issuers, JSON.stringify({ issuers: [{ name: 'emulator', kind: 'ibm', issuer: emulator.issuer }] }))
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const trail = `${data}-trail.jsonl`
  const where = ['--listen', `127.0.0.1:${port}`, '--data', data, '--issuers', issuers, '--accept-raw-keys']
  const says = ['--log-level', 'debug', '--log-requests', '--audit-sink', `file:${trail},${sink.url}`]
  const env = { HOLDFAST_ROOT_KEY: rootKey, HOLDFAST_AUDIT_WEBHOOK_SECRET: webhookSecret }
  const server = startCli(['serve', ...where, ...says, ...flags], { url, env })
  t.after(() => server.child.kill('SIGKILL'))
  await server.says(/"msg":"listening"/)
  const using: Using = { url, ask: asker(url), secrets, places: {} }
  const token = await emulator.signing.sign(emulator.identity('IBMid-270000ALICE'), 'test')
  await misuse(using, [...(await useWell(using)), token, token.slice(0, -4), `${token}x`])
  using.places.metrics = await (await fetch(`${url}/metrics`)).text()
  using.places.trail = JSON.stringify((await using.ask('GET', '/v2/audit?limit=1000')).body)
  server.child.kill('SIGTERM')
  const { stdout, stderr } = await server.ended
  return {
    secrets,
    places: { ...using.places, stdout, stderr, 'what the sink got': sink.heard(), ...filesOf(folder.path) },
  }
}

/** All that hands a secret out or takes one, done as it should be. Returns keys that are good, over, or gone. */
async function useWell({ url, ask, secrets, places }: Using): Promise<string[]> {
  const ok = asked(ask)
  const { id } = await ok('POST', '/v2/instances', { name: MARK, plan: 'premium' })
  const within = asked(ask, { 'holdfast-instance': String(id) })
  const key = await makeKey(within, { name: MARK, roles: ['manager', 'administrator'] })
  const rotated = await within('POST', `/v2/credentials/${key.id}/rotate`, { overlap_ms: 60_000 })
  const gone = await makeKey(within, { name: 'gone', roles: ['writer'] })
  await within('POST', `/v2/credentials/${gone.id}/revoke`, { reason: 'test' })
  const keys = [key.key, String(rotated.api_key), gone.key]
  const team: Ask = (method, path, body, headers) => ask(method, path, body, { ...bearer(key.key), ...headers })
  const session = await openSession(team, 60_000)
  const { lock_id } = await asked(team)('POST', '/v1/locks/old/acquire', { holder: MARK, ttl_seconds: 60 })
  await asked(team)('POST', '/v1/locks/old/renew', { lock_id })
  await asked(team)('POST', '/v2/locks/new/acquire', {}, { 'holdfast-session': session })
  const line = await Line.open(Number(new URL(url).port), key.key)
  const welcome = JSON.parse(line.heardText)[0] as { session: { id: string; secret: string } } // the first is the welcome
  line.close()
  for (const secret of [...keys, session, String(lock_id), `${welcome.session.id}.${welcome.session.secret}`])
    secrets.add(secret)
  await onTheCommandLine({ url, secrets, places }, key.key)
  return keys
}

/** A command under a lock: what `ps` shows meanwhile, and what it and others say. */
async function onTheCommandLine({ url, places }: Pick<Using, 'url' | 'secrets' | 'places'>, key: string) {
  const env = { HOLDFAST_API_KEY: key }
  const running = startCli(['run', 'under', '--', 'sh', '-c', 'echo holding; exec sleep 60'], { url, env })
  try {
    await running.says(/holding/)
    Object.assign(places, argumentsOfAll())
  } finally {
    running.child.kill('SIGTERM')
  }
  const ended = await running.ended
  places['holdfast run'] = ended.stdout + ended.stderr
  const listed = await cli(['credential', 'list', '--json'], { url, env })
  assert.ok(listed.stdout.includes(MARK), listed.stderr)
  places['holdfast credential list'] = listed.stdout
  const refused = await cli(['whoami'], { url, env: { HOLDFAST_API_KEY: `${key}x` } })
  assert.notEqual(refused.code, 0)
  places['a command that is refused'] = refused.stdout + refused.stderr
}

/** Each secret where it does not belong, and spoilt ones where they do: errors must not quote them. */
async function misuse({ url, ask, secrets, places }: Using, keys: string[]): Promise<void> {
  let answers = ''
  const note = async (response: Response) => {
    answers += JSON.stringify([...response.headers]) + (await response.text())
  }
  for (const key of keys) {
    secrets.add(key)
    for (const authorization of [`Bearer ${key}`, `bearer  ${key}`, `Basic ${btoa(`x:${key}`)}`, key])
      await note(await fetch(`${url}/v2/whoami`, { headers: { authorization } }))
  }
  for (const secret of secrets) {
    const json = { ...bearer(rootKey), 'content-type': 'application/json' }
    const handle = { 'holdfast-session': secret }
    await note(await fetch(`${url}/v2/whoami?api_key=${encodeURIComponent(secret)}`, { headers: json }))
    await note(
      await fetch(`${url}/v2/locks/a/release`, {
        method: 'POST',
        headers: { ...json, ...handle },
        body: '{"token":1}',
      }),
    )
    for (const body of [{ lock_id: secret }, { lock_id: { a: secret } }, { lock_id: 1, other: secret }])
      await note(
        await fetch(`${url}/v1/locks/old/renew`, { method: 'POST', headers: json, body: JSON.stringify(body) }),
      )
    const hello = await Line.connect(Number(new URL(url).port), {})
    await hello.raw(JSON.stringify([{ type: 'hello', authorization: `Bearer ${secret}x`, session: secret }]))
    hello.close()
    answers += hello.heardText + hello.closedBecause
  }
  assert.equal((await ask('GET', '/readyz')).status, 200)
  places['answers to misuse'] = answers
}

test('no secret is in anything that a server says, keeps or sends, and in no arguments', async t => {
  const data = join(folder.path, 'clear')
  const { secrets, places } = await run(t, { data, flags: [] })
  assert.ok(secrets.size >= 10)
  for (const place of ['metrics', 'stdout', 'what the sink got', 'trail'])
    assert.ok((places[place]?.length ?? 0) > 0, `${place} is empty`)
  assert.match(String(places.stdout) + String(places.stderr), /"route":"\/v2\/whoami"/)
  assert.ok(Object.entries(places).some(([place, content]) => place.startsWith(data) && content.includes(MARK)))
  assertNowhere(secrets, places)
})

test('nor is the key that encrypts the store, however it is written', async t => {
  const key = randomBytes(32)
  // Where it is kept on purpose; everything else is searched.
  const keyFile = join(kept.path, 'key')
  writeFileSync(keyFile, `${key.toString('hex')}\n`, { mode: 0o600 })
  const data = join(folder.path, 'sealed')
  const { secrets, places } = await run(t, { data, flags: ['--encryption-key-file', keyFile] })
  assertNowhere([...secrets, key.toString('hex'), key.toString('base64'), key.toString('latin1')], places)
  for (const [place, content] of Object.entries(places)) assert.ok(Buffer.from(content).indexOf(key) < 0, place)
})
