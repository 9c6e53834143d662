import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

type Ready = { type: 'ready'; url: string; rootKeyPath: string; dataDirectory: string }
type Ended = { code: number | null; output: string }

const main = fileURLToPath(new URL('main.ts', import.meta.url))

function start(args: string[]): { child: ChildProcess; ready: Promise<Ready>; ended: Promise<Ended> } {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HOLDFAST_')))
  const child = fork(main, args, { env, silent: true })
  let output = ''
  child.stdout?.on('data', text => {
    output += text
  })
  child.stderr?.on('data', text => {
    output += text
  })
  const ended = once(child, 'close').then(([code]) => ({ code, output }))
  const ready = new Promise<Ready>((resolve, reject) => {
    child.once('message', message => resolve(message as Ready)) // the one message that it sends
    ended.then(({ output: text }) => reject(new Error(text)))
  })
  // Where nobody waits for it, it may fail.
  ready.catch(() => {})
  return { child, ready, ended }
}

async function withDirectory(act: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-main-'))
  try {
    await act(directory)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const flags = (directory: string) => ['--listen', '127.0.0.1:0', '--data', join(directory, 'data'), '--log-requests']

test('a process makes its key, keeps its locks over a restart, refuses a second one, and stops when told', async () => {
  await withDirectory(async directory => {
    const first = start(flags(directory))
    const { url, rootKeyPath } = await first.ready
    assert.equal(statSync(rootKeyPath).mode & 0o777, 0o600)
    const key = readFileSync(rootKeyPath, 'utf8').trim()
    const ask = (base: string, path: string, body: object) =>
      fetch(`${base}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
    const granted = await ask(url, '/v1/locks/a/acquire', { holder: 'before' })
    // The shape is the contract's; v1.test.ts checks it.
    const { lock_id } = (await granted.json()) as { lock_id: string }

    const second = await start(flags(directory)).ended
    assert.equal(second.code, 1)
    assert.match(second.output, /data directory is in use/)

    first.child.kill('SIGTERM')
    const { code, output } = await first.ended
    assert.equal(code, 0, output)
    assert.ok(!output.includes(key) && !output.includes(lock_id), 'a secret is in the log')
    const lines = output
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    const line = lines.find(({ msg }) => msg === 'request')
    assert.deepEqual([line.method, line.route, line.status], ['POST', '/v1/locks/:name/acquire', 200])

    const third = start(flags(directory))
    const again = await third.ready
    const renewed = await ask(again.url, '/v1/locks/a/renew', { lock_id })
    assert.equal(renewed.status, 200)
    third.child.kill('SIGINT')
    assert.equal((await third.ended).code, 0)
  })
})

test('a setting that is not known ends the process with a code of its own', async () => {
  const { code, output } = await start(['--lisen', '127.0.0.1:0']).ended
  assert.equal(code, 64)
  assert.match(output, /Did you mean `--listen`/)
})
