/** What the command line tells programs: with `--json`, and by what it refuses. */
import { strict as assert } from 'node:assert'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connect, type Holdfast } from '@holdfast/client'
import { cli, type Ended, startCli } from '../harness/cli.ts'
import { freePort, temporaryFolder } from '../harness/process.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'

const folder = temporaryFolder('cli-json')
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

/** The JSON objects of standard error, one a line and nothing else. */
function told({ stderr }: Ended): Record<string, unknown>[] {
  return stderr
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line))
}

test('with --json every error is one JSON object on standard error, and the exit code is as without', async () => {
  const lock = await holdfast.acquire('taken', { labels: { someKey: 'x' } })
  const wrong: [code: string, ...args: string[]][] = [
    ['lock_held', 'acquire', 'taken'],
    ['lock_held', 'run', '--wait', '0', 'taken', 'true'],
    ['not_found', 'show', 'no-such-lock'],
    ['lock_lost', 'renew', 'taken', 'wrong'],
    ['lock_lost', 'release', 'taken', 'wrong'],
    ['invalid_request', 'show'],
    ['invalid_request', 'list', '--bogus'],
    ['invalid_request', 'rum'],
    ['invalid_request', 'elect', '--wait', 'soon', 'x', 'true'],
  ]
  const ask = ([, verb = '', ...args]: readonly string[]) =>
    Promise.all([run(verb, ...args), run(verb, '--json', ...args)])
  const answers = await Promise.all(wrong.map(ask))
  for (const [index, [code, verb]] of wrong.entries()) {
    const [plain, asJson] = answers[index]!
    assert.equal(asJson.code, plain.code, `${verb}: ${plain.stderr}`)
    assert.equal(asJson.stdout, '')
    const [error, ...others] = told(asJson)
    assert.deepEqual([error?.code, error?.exit_code, others], [code, plain.code, []], asJson.stderr)
    assert.equal(typeof error?.message, 'string')
    assert.equal(typeof error?.details, 'object')
    assert.throws(() => told(plain), SyntaxError, 'without --json it is for people')
  }
  const [held] = told(await run('acquire', 'taken', '--json'))
  // Its fields as the API writes them, and what users filled as they did.
  const details = held?.details as { holder: string; queue_length: number; labels: object }
  assert.deepEqual([details.holder, details.queue_length, details.labels], ['the test', 0, { someKey: 'x' }])
  await lock.release()
  const away = await cli(['list', '--json'], { url: `http://127.0.0.1:${await freePort()}` })
  assert.deepEqual([away.code, told(away)[0]?.code], [123, 'unavailable'])
})

test('run --json and elect --json tell what becomes of the lock, and standard output is the command’s own', async () => {
  const done = await run('run', '--json', 'job', '--', 'sh', '-c', 'echo out; exit 3')
  assert.deepEqual([done.code, done.stdout], [3, 'out\n'])
  const [acquired, ended] = told(done)
  assert.deepEqual([acquired?.event, acquired?.lock, acquired?.mode], ['acquired', 'job', 'exclusive'])
  assert.deepEqual(ended, { event: 'ended', lock: 'job', token: acquired?.token, reason: 'done', exit_code: 3 })
  const lead = told(await run('elect', '--json', 'boss', '--', 'true'))
  assert.deepEqual(
    lead.map(({ event }) => event),
    ['acquired', 'ended'],
  )
  assert.equal((await run('run', 'job', '--', 'echo', '--json')).stdout, '--json\n')
})

test('what prints JSON in any case takes --json too', async () => {
  const { code, stdout } = await run('audit', 'head', '--json')
  assert.equal(code, 0)
  assert.ok(Array.isArray(JSON.parse(stdout).heads))
})

test('run --json tells of its wait, and of being stopped', async () => {
  const lock = await holdfast.acquire('wanted')
  const waiting = startCli(['run', '--json', 'wanted', '--', 'sh', '-c', 'echo started; exec sleep 100'], {
    url: server.url,
  })
  while ((await holdfast.why('wanted')).waiters.length === 0) await holdfast.rest.whoami()
  await lock.release()
  await waiting.says(/started/)
  await holdfast.rest.preempt('wanted', { reason: 'a deploy' })
  const ended = await waiting.ended
  assert.equal(ended.code, 122)
  const [queued, acquired, stopping, last] = told(ended)
  assert.deepEqual(queued, { event: 'waiting', lock: 'wanted', position: 1 })
  assert.equal(acquired?.event, 'acquired')
  assert.deepEqual([stopping?.event, stopping?.reason], ['stopping', 'preempted'])
  assert.match(String(stopping?.message), /root wants the lock: a deploy/)
  assert.deepEqual([last?.event, last?.reason, last?.exit_code], ['ended', 'preempted', 122])
})

test('history --json says where the rest begins, and --start goes on there', async () => {
  for (let cycle = 0; cycle < 2; cycle++) await (await holdfast.acquire('past')).release()
  const all = JSON.parse((await run('history', 'past', '--json')).stdout)
  assert.deepEqual([all.events.length, all.next], [4, undefined])
  const first = JSON.parse((await run('history', 'past', '--limit', '3', '--json')).stdout)
  assert.equal(typeof first.next.href, 'string')
  const second = JSON.parse((await run('history', 'past', '--start', first.next.start, '--json')).stdout)
  assert.deepEqual([...first.events, ...second.events], all.events)
  assert.match((await run('history', 'past', '--limit', '3')).stderr, /there is more.*--start/)
})

test('audit list says when there is more, and JSON where the rest begins', async () => {
  for (let cycle = 0; cycle < 2; cycle++) await (await holdfast.acquire('trailed')).release()
  const listed = async (...words: string[]) => {
    const { stdout, stderr } = await run('audit', 'list', '--lock', 'trailed', ...words)
    return { stdout, stderr, ...(words.includes('--json') && JSON.parse(stdout)) }
  }
  const all = await listed('--json')
  assert.deepEqual([all.records.length, all.next], [4, undefined])
  const first = await listed('--limit', '3', '--json')
  assert.deepEqual(first.records, all.records.slice(0, 3))
  const rest = await fetch(new URL(first.next.href, server.url), { headers: { authorization: `Bearer ${rootKey}` } })
  assert.deepEqual(((await rest.json()) as typeof all).records, all.records.slice(3))
  const told = (await listed('--limit', '3')).stderr
  assert.match(told, /there is more: --start \S+, a greater --limit, or `holdfast audit export`/)
  const start = /--start (\S+),/.exec(told)?.[1] ?? ''
  assert.deepEqual((await listed('--start', start, '--json')).records, all.records.slice(3))
  for (const words of [[], ['--limit', '4']]) assert.equal((await listed(...words)).stderr, '')
})

test('usage takes a plain day, and says what is no time', async () => {
  const day = new Date().toISOString().slice(0, 10)
  const { code, stdout, stderr } = await run('usage', '--from', day, '--to', `${day}T00:00:00Z`, '--json')
  assert.equal(code, 0, stderr)
  assert.deepEqual(JSON.parse(stdout).usage, [])
  assert.equal((await run('usage', '--from', day)).code, 0)
  const refused = await run('usage', '--to', 'yesterday')
  assert.equal(refused.code, 124)
  assert.match(refused.stderr, /Say a time like/)
})

test('a lock_id that is not the holder’s is said to be none, with who holds the lock', async () => {
  assert.equal((await run('acquire', 'script', '--holder', 'somebody')).code, 0)
  for (const verb of ['release', 'renew']) {
    const { code, stderr } = await run(verb, 'script', 'wrong')
    assert.equal(code, 121)
    assert.match(stderr, /lock_id is not that of the holder of "script".*"somebody" holds it now/)
  }
  assert.match((await run('release', 'nobody', 'wrong')).stderr, /nobody holds it now/)
})

test('who is refused a lock hears who holds it', async () => {
  const lock = await holdfast.acquire('named')
  for (const args of [['acquire'], ['acquire', '--wait', '1s'], ['run', '--wait', '0']]) {
    const refused = await run(...args, 'named', ...(args[0] === 'run' ? ['true'] : []))
    assert.equal(refused.code, 120)
    assert.match(refused.stderr, /The holder is "the test", since \d{4}-/)
  }
  await lock.release()
})

test('a part of a second is refused where whole ones are counted', async () => {
  const refused = [
    [['acquire', 'a', '--ttl', '1500ms'], '2s'],
    [['acquire', 'a', '--ttl', '400ms'], '1s'],
    [['acquire', 'a', '--wait', '100ms'], '1s'],
    [['renew', 'a', 'id', '--ttl', '2.5s'], '3s'],
  ] as const
  const look = async ([args, meant]: (typeof refused)[number]) => {
    const { code, stderr } = await run(...args)
    assert.equal(code, 124)
    assert.match(stderr, new RegExp(`whole seconds: say ${meant}`))
  }
  await Promise.all(refused.map(look))
  assert.equal((await run('acquire', 'whole', '--ttl', '2000ms', '--wait', '0')).code, 0)
})
