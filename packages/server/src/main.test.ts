import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { getPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { writeDevCertificates } from './dev-certs.ts'

type Ready = { type: 'ready'; url: string; rootKeyPath: string; dataDirectory: string }
type Ended = { code: number | null; output: string }

const main = fileURLToPath(new URL('main.ts', import.meta.url))

/** `output`: a file descriptor for both of its outputs; else what it writes is collected. */
function start(args: string[], output?: number): { child: ChildProcess; ready: Promise<Ready>; ended: Promise<Ended> } {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HOLDFAST_')))
  const out = output ?? 'pipe'
  const child = fork(main, args, { env, stdio: ['ignore', out, out, 'ipc'] })
  return { child, ...outcome(child) }
}

function outcome(child: ChildProcess): { ready: Promise<Ready>; ended: Promise<Ended> } {
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
  return { ready, ended }
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

test('what keeps a server from starting and is a setting’s fault ends it with that code, and is told by its setting', async () => {
  await withDirectory(async directory => {
    const file = join(directory, 'file')
    writeFileSync(file, 'no PEM')
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    // Listening on a host and port, the address is no text.
    const { port } = taken.address() as AddressInfo
    const [data, memory] = [
      ['--data', join(directory, 'data')],
      ['--engine', 'memory'],
    ]
    const any = ['--listen', '127.0.0.1:0']
    const missing = join(directory, 'missing.pem')
    const { certificateFile, keyFile } = writeDevCertificates({ folder: join(directory, 'one'), hosts: [] })
    const other = writeDevCertificates({ folder: join(directory, 'two'), hosts: [] })
    const tls = (cert: string, key: string) => [...any, ...memory, ...data, '--tls-cert', cert, '--tls-key', key]
    const wrong: [RegExp, string[]][] = [
      [
        /^`listen`: port \d+ .*in use: .*--listen 127\.0\.0\.1:0/m,
        [...memory, ...data, '--listen', `127.0.0.1:${port}`],
      ],
      [/^`data`: .*file is, or lies under, a file: name a folder/m, [...any, '--data', file]],
      [/^`data`: .* name a folder/m, [...any, ...memory, '--data', file]],
      [/^`tls_cert`: .*missing\.pem cannot be used \(ENOENT/m, tls(missing, keyFile)],
      [/^`tls_cert`: .*file cannot be used/m, tls(file, keyFile)],
      [/^`tls_key`: .*missing\.pem cannot be used \(ENOENT/m, tls(certificateFile, missing)],
      [/^`tls_key`: .*file cannot be used/m, tls(certificateFile, file)],
      [/^`peer_ca`: .*missing\.pem cannot be used \(ENOENT/m, [...any, ...memory, ...data, '--peer-ca', missing]],
      [/^`peer_ca`: .*file cannot be used/m, [...any, ...memory, ...data, '--peer-ca', file]],
      [/^`tls_key`: .* is not the key of the certificate/m, tls(certificateFile, other.keyFile)],
    ]
    for (const [message, args] of wrong) {
      const { code, output } = await start(args).ended
      assert.match(output, message)
      assert.equal(code, 64, output)
    }
    taken.close()
  })
})

/** A server whose log goes into a named pipe, of which this process has the other end. */
async function withPipe(act: (started: ReturnType<typeof start>, reader: number) => Promise<void>): Promise<void> {
  await withDirectory(async directory => {
    const pipe = join(directory, 'log')
    execFileSync('mkfifo', [pipe])
    const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK)
    const writer = openSync(pipe, constants.O_WRONLY)
    const started = start([...flags(directory), '--engine', 'memory'], writer)
    closeSync(writer)
    try {
      await act(started, reader)
    } finally {
      started.child.kill('SIGKILL')
      await started.ended
    }
  })
}

async function askOften(url: string, times: number): Promise<void> {
  for (let asked = 0; asked < times; asked++) assert.equal((await fetch(`${url}/v2/whoami`)).status, 401)
}

test('a server whose log nobody reads any more serves on, and stops when told', async () => {
  await withPipe(async ({ child, ready, ended }, reader) => {
    const { url } = await ready
    closeSync(reader)
    await askOften(url, 3)
    child.kill('SIGTERM')
    assert.equal((await ended).code, 0)
  })
})

test('a server of which the last line found no reader stops when told', async () => {
  await withPipe(async ({ child, ready, ended }, reader) => {
    await ready
    closeSync(reader)
    child.kill('SIGTERM')
    assert.equal((await ended).code, 0)
  })
})

/** Each line of the log is a hundred bytes and more; a pipe takes 64 KiB. */
const LINES_THAT_DO_NOT_FIT = 800

test('a server whose log is not read, by somebody who is there, serves on, and stops when told', async () => {
  await withPipe(async ({ child, ready, ended }, reader) => {
    const { url } = await ready
    await Promise.all(Array.from({ length: 16 }, () => askOften(url, LINES_THAT_DO_NOT_FIT / 16)))
    child.kill('SIGTERM')
    assert.equal((await ended).code, 0)
    closeSync(reader)
  })
})

// Elsewhere the system does not tell threads apart.
const isLinux = process.platform === 'linux'

test('all threads of the server have one priority: none waits for another that is served last', {
  skip: !isLinux,
}, async () => {
  await withDirectory(async directory => {
    const { child, ready, ended } = start(flags(directory))
    await ready
    const threads = `/proc/${child.pid}/task`
    const niceness = readdirSync(threads).map(thread => {
      // proc(5): the 19th field; the second is the name, in brackets.
      const fields = readFileSync(`${threads}/${thread}/stat`, 'utf8').split(') ').at(-1)!.split(' ')
      return Number(fields[19 - 3])
    })
    assert.ok(niceness.length > 1)
    assert.deepEqual([...new Set(niceness)], [getPriority()])
    child.kill('SIGTERM')
    await ended
  })
})
