/** How the command ends: when its work is done, whatever is left open, and with all that it had to say. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const source = fileURLToPath(new URL('./main.ts', import.meta.url))
const SAID_BEFORE = 1_000_000

test('a verb ends when its work is done, whatever is still open, and cuts nothing off that a slow reader has not read', async () => {
  const opening = `process.stdout.write('x'.repeat(${SAID_BEFORE})); setInterval(() => {}, 1_000)`
  const command = '"$0" --conditions=source --import "$1" "$2" completion bash | { sleep 1; wc -c; }'
  const { code, stdout } = await ran('sh', ['-c', command, process.execPath, `data:text/javascript,${opening}`, source])
  assert.equal(code, 0)
  assert.ok(Number(stdout) > SAID_BEFORE, stdout)
})

test('nobody who reads what goes wrong is no bug', async () => {
  const opening = `process.stderr.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))`
  const early = `import(${JSON.stringify(source)}).then(async ({ main }) => { main(['completion', 'bash']); ${opening} })`
  const { code, stdout } = await ran(process.execPath, ['--conditions=source', '--eval', early])
  assert.equal(code, 0)
  assert.match(stdout, /holdfast/)
})

test('output that cannot be written is told, and no success', async () => {
  const full = (...words: string[]) =>
    ran('sh', ['-c', '"$0" --conditions=source "$@" > /dev/full', process.execPath, source, ...words])
  for (const words of [['completion', 'bash'], ['list', '--help'], ['--version']]) {
    const { code, stderr } = await full(...words)
    assert.equal(code, 125, `${words} ${stderr}`)
    assert.match(stderr, /^holdfast: standard output cannot be written: ENOSPC.*\n$/)
  }
  const { code, stderr } = await full('list', '--help', '--json')
  assert.equal(code, 125, stderr)
  assert.match(JSON.parse(stderr).message, /cannot be written: ENOSPC/)
})

test('a reader that has seen enough is no error', async () => {
  const command = '{ "$0" --conditions=source "$1" completion bash; echo $? >&2; } | true'
  assert.equal((await ran('sh', ['-c', command, process.execPath, source])).stderr, '0\n')
})

test('an empty name is told, and asks for nothing', async () => {
  for (const words of [
    ['show', ''],
    ['value', ''],
    ['run', '', '--', 'true'],
  ]) {
    const { code, stderr } = await ran(process.execPath, ['--conditions=source', source, ...words])
    assert.equal(code, 124, stderr)
    assert.match(stderr, /^holdfast: Say <name>, the lock: it is empty\.\n$/)
  }
})

test('an option’s help says its default once, as people write it', async () => {
  const { stdout } = await ran(process.execPath, ['--conditions=source', source, 'bench', '--help'])
  const help = stdout.replace(/\s+/g, ' ')
  assert.match(help, /until Ctrl-C \(default: 10s\) --/)
  assert.match(help, /10 s more \(default: 30s\) --/)
})

type Ended = { code: number | null; stdout: string; stderr: string }

function ran(file: string, args: readonly string[]): Promise<Ended> {
  // Nothing listens there.
  const env = { ...process.env, HOLDFAST_URL: 'http://127.0.0.1:1', NODE_TEST_CONTEXT: undefined }
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 30_000, env })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (data: Buffer) => {
      output[name] += data.toString()
    })
  }
  return new Promise(resolve => child.once('close', code => resolve({ code, ...output })))
}
