/** The command line with real child processes against the real server. */
import { strict as assert } from 'node:assert'
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Holdfast } from '@holdfast/client'
import { bin, cli, startCli } from '../harness/cli.ts'
import { freePort, temporaryFolder } from '../harness/process.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'

const folder = temporaryFolder('cli')
let server: Server
let holdfast: Holdfast

before(async () => {
  server = await startServer({ data: join(folder.path, 'data') })
  holdfast = connect({ url: server.url, apiKey: rootKey, name: 'the test' })
})

after(async () => {
  await holdfast.close()
  await server.stop()
  folder.remove()
})

const run = (...args: string[]) => cli(args, { url: server.url })
const start = (...args: string[]) => startCli(args, { url: server.url })

/** Help is wrapped. */
function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ')
}

test('elect leads with a value that others read', async () => {
  const leading = start('elect', '--value', 'node-1:80', 'boss', '--', 'sh', '-c', 'echo leading; exec sleep 100')
  await leading.says(/leading/)
  assert.equal((await run('value', 'boss')).stdout, 'node-1:80\n')
  leading.child.kill('SIGTERM')
  assert.equal((await leading.ended).code, 143)
})

test('of a time before what is kept, `history --at` does not say that nobody held it', async () => {
  const forgetful = await startServer({ data: join(folder.path, 'forgetful'), flags: ['--audit-bytes-max', '0'] })
  const writer = connect({ url: forgetful.url, apiKey: rootKey, name: 'the test' })
  try {
    const at = new Date().toISOString()
    const says = async () => {
      const { stdout, stderr } = await cli(['history', 'a', '--at', at], { url: forgetful.url })
      return `${stdout}${stderr}`
    }
    assert.equal(await says(), 'nobody held it\n')
    const lock = await writer.acquire('b')
    // Until the log is long enough for its beginning to be deleted.
    let told = await says()
    for (let round = 0; told === 'nobody held it\n' && round < 50; round++) {
      const value = String(round).padEnd(16_000, '-')
      await Promise.all(Array.from({ length: 100 }, () => lock.setValue(value)))
      told = await says()
    }
    assert.match(told, /^nobody is known to have held it\n.*nothing is known of the time before 20\d\d-.*Z\n$/)
  } finally {
    await writer.close()
    await forgetful.stop()
  }
})

test('a script acquires, renews and releases by the lock_id', async () => {
  const acquired = await run('acquire', 'script', '--ttl', '1m', '--holder', 'the script')
  assert.equal(acquired.code, 0, acquired.stderr)
  const lockId = acquired.stdout.trim()
  assert.equal((await run('acquire', 'script')).code, 120)
  assert.match((await run('renew', 'script', lockId)).stdout, /held until/)
  const shown = JSON.parse((await run('show', 'script', '--json')).stdout)
  assert.equal(shown.holder, 'the script')
  assert.equal((await cli(['release', 'script', '-'], { url: server.url, input: `${lockId}\n` })).code, 0)
  assert.equal((await run('renew', 'script', lockId)).code, 121)
})

test('the example of `acquire --help` does its work under the lock, and says so when there is none to be had', async () => {
  const { stdout: help } = await run('acquire', '--help')
  assert.match(oneLine(help), /Nothing renews such a lock.*`holdfast run`.*check the token/)
  const [, example = ''] = /^Example:\n([\s\S]*)$/m.exec(help) ?? []
  // What may take the whole TTL gets beside somebody else.
  const [, afterSeconds, limitSeconds] = /timeout -k (\d+) (\d+)/.exec(example) ?? []
  assert.ok(Number(afterSeconds) + Number(limitSeconds) < 48, example)
  const work = join(folder.path, 'work.sh')
  writeFileSync(work, `#!/bin/sh\n${process.execPath} ${bin} why orders\n`, { mode: 0o755 })
  const script = `holdfast() { ${process.execPath} ${bin} "$@"; }\n${example.replace('./work.sh', work)}`
  const type = () =>
    spawnSync('sh', ['-c', script], {
      encoding: 'utf8',
      env: { ...process.env, HOLDFAST_URL: server.url, HOLDFAST_API_KEY: rootKey, NODE_TEST_CONTEXT: undefined },
    })
  const done = type()
  assert.deepEqual([done.status, done.stderr], [0, ''])
  assert.match(done.stdout, /^orders is held by/)
  const lock = await holdfast.acquire('orders')
  const refused = type()
  assert.deepEqual([refused.status, refused.stdout], [120, ''])
  assert.doesNotMatch(refused.stderr, /lock_id/)
  await lock.release()
})

test('the version is that of the package', async () => {
  const manifest = readFileSync(new URL('../../packages/cli/package.json', import.meta.url), 'utf8')
  const { version } = JSON.parse(manifest) as { version: string }
  for (const flag of ['--version', '-V']) {
    const { code, stdout, stderr } = await run(flag)
    assert.deepEqual([code, stdout, stderr], [0, `${version}\n`, ''])
  }
  assert.match((await run('--help')).stdout, /--version/)
})

test('why says of a lock that nobody uses that it is free', async () => {
  const { code, stdout, stderr } = await run('why', 'unused/lock')
  assert.deepEqual([code, stderr], [0, ''])
  assert.match(stdout, /^unused\/lock is free/)
  const free = JSON.parse((await run('why', 'unused/lock', '--json')).stdout)
  assert.deepEqual(free, { lock: { name: 'unused/lock', state: 'free', holders: [], waiters: 0 }, waiters: [] })
  assert.equal((await run('freeze', 'unused/', '--until', '1h', '--reason', 'a test')).code, 0)
  assert.match((await run('why', 'unused/lock')).stdout, /^unused\/lock is frozen until .* by root: a test\n/)
  const frozen = JSON.parse((await run('why', 'unused/lock', '--json')).stdout)
  assert.deepEqual([frozen.lock.state, frozen.lock.frozen.reason], ['frozen', 'a test'])
  assert.equal((await run('thaw', 'unused/')).code, 0)
  // Configured, it is shown by the service itself, in the same words.
  await holdfast.rest.configure('unused/lock', { description: 'x' })
  assert.match((await run('why', 'unused/lock')).stdout, /^unused\/lock is free/)
  const configured = JSON.parse((await run('why', 'unused/lock', '--json')).stdout)
  assert.deepEqual([configured.lock.state, configured.waiters], ['free', []])
  const elsewhere = await run('why', 'unused/lock', '--instance', '00000000-0000-4000-8000-000000000000')
  assert.equal(elsewhere.code, 124, 'an instance that is not there has no free locks')
})

test('a wrong key ends with 124, and the help says so', async () => {
  const wrong = await cli(['list'], { url: server.url, env: { HOLDFAST_API_KEY: 'hf_wrong' } })
  assert.equal(wrong.code, 124, wrong.stderr)
  assert.match((await run('--help')).stdout, /124 wrong usage or credential/)
  assert.match((await run('run', '--help')).stdout, /124 {2}wrong usage, or a credential/)
})

test('a command of nothing, and a preemption that would not wait, are refused before a lock is asked for', async () => {
  for (const verb of ['run', 'elect']) {
    const empty = await run(verb, 'refused/empty', '--', '')
    assert.equal(empty.code, 124, empty.stderr)
    assert.match(empty.stderr, /first word of the command is empty/)
  }
  const lock = await holdfast.acquire('refused/held')
  const asked = ['--priority', '9', '--preempt']
  const tries = [
    ['acquire', 'refused/held', ...asked],
    ['run', ...asked, 'immediate', '--wait', '0', 'refused/held', '--', 'true'],
  ]
  for (const args of tries) {
    const { code, stderr } = await run(...args)
    assert.equal(code, 124, stderr)
    assert.match(stderr, /--preempt has to wait until the holder has gone/)
  }
  assert.ok(lock.isHeld)
  await lock.release()
  assert.equal((await run('history', 'refused/empty')).stdout.includes('granted'), false)
})

test('names that no URL can carry are refused in words, and can be held all the same', async () => {
  const verbs = [
    ['show'],
    ['why'],
    ['queue'],
    ['value'],
    ['history'],
    ['history', '--at', '2026-11-21T06:00:00Z'],
    ['force-release', '--reason', 'x'],
    ['preempt', '--reason', 'x'],
    ['acquire'],
  ]
  const asked = verbs.flatMap(verb => ['.', '..'].map(name => [...verb, name]))
  asked.push(['renew', '.', 'id'], ['release', '..', 'id'], ['policy', 'show', '.'])
  const ask = async (args: string[]) => {
    const { code, stderr } = await run(...args)
    assert.equal(code, 124, `${args.join(' ')}: ${stderr}`)
    assert.match(stderr, /No URL can name `\.\.?`.*curl --path-as-is/)
  }
  // A few at a time: each is a process.
  while (asked.length > 0) await Promise.all(asked.splice(0, 4).map(ask))
  for (const name of ['.', '..']) assert.equal((await run('run', name, '--', 'true')).code, 0)
})

test('list, show, why, queue and history read well, and as JSON', async () => {
  const lock = await holdfast.acquire('look/a', { labels: { zone: 'x' } })
  const waiting = holdfast.acquire('look/a')
  while ((await holdfast.why('look/a')).waiters.length === 0) await sleep(10)
  const list = (await run('list', 'look/')).stdout
  assert.match(list, /^NAME +STATE +MODE +HOLDER +FOR +WAITING +TOKEN\nlook\/a +held +exclusive +the test .* 1 +\d+\n$/)
  assert.ok(!list.includes('\u001b'), 'no colours in a pipe')
  const listed = JSON.parse((await run('list', 'look/', '--json')).stdout)
  assert.equal(listed.locks[0].holders[0].acquired_at.length, 24)
  assert.match((await run('show', 'look/a')).stdout, /state +held[\s\S]*the test +exclusive +\d+[\s\S]*zone=x/)
  assert.match(
    (await run('why', 'look/a')).stdout,
    /look\/a is held by the test since .*\n +Unless it is renewed, it ends in \d+s, at .*\n +zone=x\n[\s\S]*One waits for it:\n#/,
  )
  assert.equal(JSON.parse((await run('queue', 'look/a', '--json')).stdout).waiters[0].position, 1)
  await lock.release()
  await (await waiting).release()
  const history = (await run('history', 'look/a')).stdout
  assert.match(history, /released[\s\S]*granted[\s\S]*queued[\s\S]*granted/)
})

test('who asks why a lock is held is told which command it is held for', async () => {
  const running = start('run', 'look/run', '--', 'sh', '-c', 'echo holding; exec sleep 60')
  await running.says(/holding/)
  const [why, show] = [await run('why', 'look/run'), await run('show', 'look/run')]
  running.child.kill('SIGTERM')
  await running.ended
  assert.match(why.stdout, /^ +command=sh$/m)
  assert.match(show.stdout, / command=sh$/m)
})

test('watch prints events as they happen and ends on a signal', async () => {
  const watching = start('watch', 'seen/', '--json')
  while (!watching.stdout().includes('granted')) {
    await (await holdfast.acquire('seen/x')).release()
    await sleep(20)
  }
  watching.child.kill('SIGINT')
  const ended = await watching.ended
  assert.equal(ended.code, 0)
  const [first = ''] = ended.stdout.split('\n')
  assert.equal(JSON.parse(first).lock, 'seen/x')
})

test('whoever may only look watches too, over a restart of the server, and opens no session', async () => {
  const made = await run('credential', 'create', 'onlooker', '--role', 'reader', '--json')
  const key = join(folder.path, 'onlooker.key')
  writeFileSync(key, String(JSON.parse(made.stdout).api_key))
  const sessions = async () =>
    /^holdfast_sessions\{.*\} (\d+)$/m.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1]
  await holdfast.sessionId()
  const before = await sessions()
  const watching = start('watch', 'far/', '--json', '--api-key-file', key)
  const seen = () =>
    watching
      .stdout()
      .trim()
      .split('\n')
      .filter(line => line !== '')
  const cycle = async (name: string) => (await holdfast.acquire(name)).release()
  while (seen().length === 0) {
    await cycle('far/x')
    await sleep(20)
  }
  assert.equal(await sessions(), before)
  const { port } = server
  await server.stop()
  server = await startServer({ data: join(folder.path, 'data'), port })
  await cycle('far/last')
  while (!seen().some(line => JSON.parse(line).lock === 'far/last' && JSON.parse(line).type === 'released'))
    await sleep(20)
  watching.child.kill('SIGINT')
  assert.equal((await watching.ended).code, 0)
  const types = seen().map(line => JSON.parse(line).type as string)
  assert.ok(!types.includes('reset'), 'nothing is missing')
  // Each grant and its end, in turns, from whichever of the two it began with.
  const rest = types.slice(types.indexOf('granted'))
  rest.forEach((type, place) => void assert.equal(type, place % 2 === 0 ? 'granted' : 'released'))
  const refused = await run('watch', '--name', 'far/x', '--api-key-file', '/dev/null')
  assert.equal(refused.code, 124)
})

test('freeze keeps others out until thaw, and whoami tells who asks', async () => {
  assert.equal((await run('freeze', 'ice/', '--until', '1h', '--reason', 'test')).code, 0)
  const refused = await run('run', 'ice/x', '--', 'true')
  assert.equal(refused.code, 120)
  assert.match(refused.stderr, /frozen/)
  assert.equal((await run('thaw', 'ice/')).code, 0)
  assert.equal((await run('run', 'ice/x', '--', 'true')).code, 0)
  assert.match((await run('whoami')).stdout, /subject/)
})

test('audit verify says how many heads it has compared, and takes no file without any', async () => {
  const file = join(folder.path, 'heads.json')
  const head = await run('audit', 'head')
  writeFileSync(file, head.stdout)
  const count = JSON.parse(head.stdout).heads.length
  const { code, stdout } = await run('audit', 'verify', '--heads', file)
  assert.equal(code, 0, stdout)
  assert.match(stdout, new RegExp(`none of them touched; ${count} heads compared\\n$`))
  assert.equal(JSON.parse((await run('audit', 'verify', '--heads', file, '--json')).stdout).heads, count)
  assert.match((await run('audit', 'verify')).stdout, /touched\n$/)
  for (const none of ['{}', '[]', 'null', '{"heads":[]}', '{"heads":{}}']) {
    writeFileSync(file, none)
    const refused = await run('audit', 'verify', '--heads', file)
    assert.equal(refused.code, 124, none)
    assert.match(refused.stderr, /holds no heads.*`holdfast audit head > FILE`/)
  }
  for (const misplaced of [
    ['export.jsonl', '--heads', file],
    ['--head', 'ab'],
  ])
    assert.equal((await run('audit', 'verify', ...misplaced)).code, 124)
})

test('an export that does not fit on the disk is no export', () => {
  const { status, stderr } = spawnSync('sh', ['-c', '"$0" "$1" audit export > /dev/full', process.execPath, bin], {
    encoding: 'utf8',
    env: { ...process.env, HOLDFAST_URL: server.url, HOLDFAST_API_KEY: rootKey, NODE_TEST_CONTEXT: undefined },
  })
  assert.equal(status, 125, stderr)
  assert.match(stderr, /standard output cannot be written: ENOSPC/)
})

test('completions name every verb', async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, stdout } = await run('completion', shell)
    assert.equal(code, 0)
    for (const verb of ['run', 'force-release', 'elect']) assert.match(stdout, new RegExp(`\\b${verb}\\b`))
  }
})

test('bench says each second how it went, and at the end whether anything failed', async () => {
  const { code, stdout, stderr } = await run('bench', '--workers', '4', '--for', '2500ms')
  assert.equal(code, 0, stderr)
  assert.match(stdout, /^ +\d+ cycles {2}p50 +[\d.]+ ms {2}p99 +[\d.]+ ms {2}longest +[\d.]+ ms {2}0 failed$/m)
  assert.match(stdout, /cycles +\d+, \d+ a second\nfailed +0\n/)
  assert.doesNotMatch(stdout, /broken/)
  const json = await run('bench', '--workers', '1', '--for', '1200ms', '--json')
  assert.ok(json.stdout.includes('"is_sound": true'), json.stdout)
})

test('bench ends by itself when it is told to stop, and says so when there is nobody', async () => {
  const endless = start('bench', '--workers', '2', '--for', '0')
  await endless.says(/cycles/)
  endless.child.kill('SIGINT')
  const { code, stdout } = await endless.ended
  assert.equal(code, 0)
  assert.match(stdout, /a second/)
  const nobody = await cli(['bench', '--workers', '1', '--for', '100ms'], {
    url: `http://127.0.0.1:${await freePort()}`,
  })
  assert.equal(nobody.code, 1)
  assert.match(nobody.stderr, /Cannot reach/)
})
