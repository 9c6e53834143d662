/** `holdfast run`: real commands under a real lock. */
import { strict as assert } from 'node:assert'
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Holdfast } from '@holdfast/client'
import { bin, cli, startCli } from '../harness/cli.ts'
import { freePort, temporaryFolder } from '../harness/process.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'

const folder = temporaryFolder('cli-run')
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

function isAlive(pid: number): boolean {
  try {
    // A container without an init keeps the dead as zombies.
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    // No such process.
    return false
  }
}

test('run passes input, output and the exit code through, and exports what the lock is', async () => {
  const script = 'read line; echo "$line:$HOLDFAST_LOCK:$HOLDFAST_TOKEN:$HOLDFAST_DEADLINE"; echo oops >&2; exit 7'
  const ended = await cli(['run', 'job/a', '--', 'sh', '-c', script], { url: server.url, input: 'hello\n' })
  assert.equal(ended.code, 7)
  assert.match(ended.stdout, /^hello:job\/a:\d+:\d{13}\n$/)
  assert.equal(ended.stderr, 'oops\n')
  assert.equal((await holdfast.rest.list({ prefix: 'job/' }).next()).done, true, 'released')
})

test('run --once: of several machines that wake up for a slot one runs it, and nobody runs it again, or an earlier one', async () => {
  const once = (slot: string, script = 'echo ran') => run('run', '--once', slot, 'job/daily', '--', 'sh', '-c', script)
  assert.equal((await once('2026-11-23', 'exit 3')).code, 3, 'what has failed may be tried again')
  const all = await Promise.all([once('2026-11-23'), once('2026-11-23'), once('2026-11-23')])
  assert.deepEqual(
    [all.map(({ code }) => code), all.map(({ stdout }) => stdout).sort()],
    [
      [0, 0, 0],
      ['', '', 'ran\n'],
    ],
  )
  const later = await once('2026-11-23')
  assert.deepEqual([later.code, later.stdout], [0, ''])
  assert.match(later.stderr, /2026-11-23 has been run already/)
  assert.equal((await once('2026-11-22')).stdout, '')
  assert.equal((await once('2026-11-24')).stdout, 'ran\n')
  const shared = await run('run', '--once', 'x', '--shared', 'job/daily', '--', 'true')
  assert.deepEqual([shared.code, /leave --shared/.test(shared.stderr)], [124, true])
})

test('run says with its exit code why the command did not run', async () => {
  const lock = await holdfast.acquire('taken')
  const held = await run('run', '--wait', '0', 'taken', '--', 'true')
  assert.equal(held.code, 120)
  assert.match(held.stderr, /held/)
  assert.equal((await run('run', '--wait', '50ms', 'taken', '--', 'true')).code, 120)
  assert.equal((await run('run', 'taken', '--wait', '50ms', '--', 'true')).code, 120)
  await lock.release()
  assert.equal((await run('run', 'x', '--', './no-such-command')).code, 127)
  assert.equal((await run('run', 'x', '--', '/')).code, 126)
  assert.equal((await run('run', '--wait', 'soon', 'x', '--', 'true')).code, 124)
  assert.equal((await run('run', 'x')).code, 124)
  assert.equal((await run('rum', 'x')).code, 124)
  const away = await cli(['list'], { url: `http://127.0.0.1:${await freePort()}` })
  assert.equal(away.code, 123)
  assert.match(away.stderr, /holdfast serve/)
})

test('from the first word of the command on nothing is an option of ours', async () => {
  const said = async (...args: string[]) => {
    const { code, stdout, stderr } = await run('run', ...args)
    return code === 0 ? stdout.trim() : `${code} ${stderr.trim().split('\n')[0]}`
  }
  // What `sh -c` runs prints the words that follow it.
  const show = ['sh', '-c', 'echo "$*"', 'sh']
  assert.equal(await said('words', ...show, '--wait', '0', '-l', '--quiet'), '--wait 0 -l --quiet')
  assert.equal(await said('words', '--', ...show, '--wait', '0', '--'), '--wait 0 --')
  assert.equal(await said('--wait', '0', 'words', ...show, '--', '-x'), '-- -x')
  assert.equal(await said('words', '--wait', '0', ...show, '--help'), '--help')
  assert.equal(await said('--ttl=5s', 'words', '--shared', ...show, '--shared'), '--shared')
  assert.match(await said('words', '-l', 'ls'), /^124 .*unknown option '-l'/)
  assert.match(await said('words', '--'), /^124 .*missing required argument 'command'/)
  const elected = await run('elect', '--value', 'v', 'words/boss', ...show, '--value', 'w')
  assert.equal(elected.stdout, '--value w\n')
})

test('run says when it waits, for whom and where in line, once, and nothing when told to be quiet', async () => {
  const lock = await holdfast.acquire('notice')
  const loud = start('run', 'notice', '--', 'sh', '-c', 'echo done >&2')
  const inLine = async (count: number) => {
    while ((await holdfast.why('notice')).waiters.length < count) await sleep(10)
  }
  await inLine(1)
  const quiet = start('run', '--quiet', 'notice', '--', 'sh', '-c', 'echo done >&2')
  await inLine(2)
  while (!loud.stderr().includes('\n')) await sleep(10)
  await lock.release()
  const line = /^holdfast: waiting for notice, place 1 of [12] in line: held by the test for .*\ndone\n$/
  assert.match((await loud.ended).stderr, line)
  assert.equal((await quiet.ended).stderr, 'done\n')
  assert.equal((await run('run', 'notice', '--', 'true')).stderr, '', 'who need not wait says nothing')
})

test('on a terminal the notice is kept up to date and erased', async t => {
  if (spawnSync('script', ['--version']).status !== 0) return t.skip('there is no `script` to make a terminal with')
  const lock = await holdfast.acquire('terminal')
  const command = `${process.execPath} ${bin} run terminal -- echo done`
  const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, HOLDFAST_URL: server.url, HOLDFAST_API_KEY: rootKey, NODE_TEST_CONTEXT: undefined },
  })
  let seen = ''
  child.stdout.on('data', (data: Buffer) => {
    seen += data.toString()
  })
  const ended = new Promise(resolve => child.once('close', resolve))
  // Written again, with more seconds.
  while (seen.split('holdfast: waiting for terminal, place 1 of 1 in line: held by the test for ').length < 3)
    await sleep(20)
  await lock.release()
  assert.equal(await ended, 0)
  const [last = ''] = seen.split('\u001b[2K').slice(-1)
  assert.equal(last.trimEnd(), 'done')
})

test('run lets one at a time do the work', async () => {
  const file = join(folder.path, 'counter')
  writeFileSync(file, '0')
  const increment = `n=$(cat ${file}); sleep 0.02; echo $((n + 1)) > ${file}`
  const ends = await Promise.all(Array.from({ length: 6 }, () => run('run', 'counter', '--', 'sh', '-c', increment)))
  assert.deepEqual(
    ends.map(end => end.code),
    [0, 0, 0, 0, 0, 0],
  )
  assert.equal(readFileSync(file, 'utf8').trim(), '6')
})

test('signals reach the command, and its end by one is told as shells do', async () => {
  const trapped = start(
    'run',
    'signals',
    '--',
    'sh',
    '-c',
    'trap "echo got it; exit 9" TERM; echo ready; while :; do sleep 0.05; done',
  )
  await trapped.says(/ready/)
  trapped.child.kill('SIGTERM')
  const ended = await trapped.ended
  assert.equal(ended.code, 9)
  assert.match(ended.stdout, /got it/)
  const killed = start('run', 'signals', '--', 'sh', '-c', 'echo ready; exec sleep 100')
  await killed.says(/ready/)
  killed.child.kill('SIGHUP')
  assert.equal((await killed.ended).code, 129)
})

test('a signal ends the wait, and nothing stays in line', async () => {
  const lock = await holdfast.acquire('line')
  const waiting = start('run', 'line', '--', 'true')
  while ((await holdfast.why('line')).waiters.length === 0) await sleep(10)
  waiting.child.kill('SIGINT')
  assert.equal((await waiting.ended).code, 130)
  assert.equal((await holdfast.why('line')).waiters.length, 0)
  await lock.release()
})

test('what the command left running in its group is ended before the lock is released', async () => {
  const left = start('run', 'leftover', '--', 'sh', '-c', 'sleep 1000 & echo "pid $!"; exit 3')
  const [, pid = ''] = await left.says(/pid (\d+)/)
  const next = await holdfast.acquire('leftover')
  assert.equal(isAlive(Number(pid)), false)
  await next.release()
  assert.equal((await left.ended).code, 3)
})

test('forced out: the whole group is dead before the next one holds, even if it ignores TERM', async () => {
  const stubborn =
    'trap "" TERM; (trap "" TERM; while :; do sleep 0.05; done) & echo "pids $$ $!"; while :; do sleep 0.05; done'
  const running = start('run', '--ttl', '2s', 'forced', '--', 'sh', '-c', stubborn)
  const [, child = '', grandchild = ''] = await running.says(/pids (\d+) (\d+)/)
  const next = holdfast
    .acquire('forced')
    .then(lock => ({ lock, alive: [child, grandchild].map(pid => isAlive(Number(pid))) }))
  while ((await holdfast.why('forced')).waiters.length === 0) await sleep(10)
  assert.equal((await run('force-release', 'forced', '--reason', 'test')).code, 0)
  const { lock, alive } = await next
  assert.deepEqual(alive, [false, false])
  const ended = await running.ended
  assert.equal(ended.code, 121)
  assert.match(ended.stderr, /stopping the command/)
  await lock.release()
})

test('so it is when whoever reads what both say stands still', async t => {
  const pids = join(folder.path, 'pids')
  // Both write to one pipe, which is full and of which nobody takes anything.
  const noisy = `echo $$ > ${pids}; trap "" TERM; while :; do sleep 0.05; done & yes noise`
  const piped = spawn(
    'bash',
    [
      '-c',
      '"$@" 2>&1 | sleep 120',
      '-',
      process.execPath,
      bin,
      'run',
      '--ttl',
      '2s',
      'stuck',
      '--',
      'bash',
      '-c',
      noisy,
    ],
    {
      stdio: 'ignore',
      detached: true,
      env: { ...process.env, HOLDFAST_URL: server.url, HOLDFAST_API_KEY: rootKey, NODE_TEST_CONTEXT: undefined },
    },
  )
  const pid = () => Number(spawnSync('cat', [pids]).stdout.toString() || Number.NaN)
  t.after(() => {
    process.kill(-(piped.pid ?? 0), 'SIGKILL')
    // Its group outlives a keeper that has failed.
    if (isAlive(pid())) process.kill(-pid(), 'SIGKILL')
  })
  while (!isAlive(pid())) await sleep(20)
  await sleep(500)
  const next = holdfast.acquire('stuck').then(lock => ({ lock, isStillThere: isAlive(pid()) }))
  while ((await holdfast.why('stuck')).waiters.length === 0) await sleep(10)
  assert.equal((await run('force-release', 'stuck', '--reason', 'test')).code, 0)
  const { lock, isStillThere } = await next
  assert.equal(isStillThere, false)
  await lock.release()
})

test('preempted: the command gets TERM, may clean up, and the exit code says so', async () => {
  const cleaning = start(
    'run',
    'pre',
    '--',
    'sh',
    '-c',
    'trap "echo cleaned; exit 0" TERM; echo ready; while :; do sleep 0.05; done',
  )
  await cleaning.says(/ready/)
  assert.equal((await run('preempt', 'pre', '--reason', 'urgent', '--grace', '20s')).code, 0)
  const ended = await cleaning.ended
  assert.equal(ended.code, 122)
  assert.match(ended.stdout, /cleaned/)
})

test('when the service dies the command is dead before its lock could be given away', async () => {
  const other = await startServer({ data: join(folder.path, 'other') })
  const running = startCli(
    ['run', '--ttl', '3s', 'doomed', '--', 'sh', '-c', 'trap "" TERM; echo "pid $$"; while :; do sleep 0.05; done'],
    { url: other.url },
  )
  const [, pid = ''] = await running.says(/pid (\d+)/)
  await other.kill()
  // From the kill on nothing renews, so the service could give the lock away this much later at the earliest.
  const ttlOver = sleep(3_000).then(() => 'the TTL was over first')
  const first = await Promise.race([running.ended.then(end => end.code), ttlOver])
  assert.equal(first, 121)
  assert.equal(isAlive(Number(pid)), false)
})

test('the help of run says when its promise does not hold', async () => {
  const { stdout } = await run('run', '--help')
  assert.match(
    oneLine(stdout),
    /KILL before anybody else can hold the lock, unless .* stopped .*SIGSTOP.*HOLDFAST_TOKEN/,
  )
})
