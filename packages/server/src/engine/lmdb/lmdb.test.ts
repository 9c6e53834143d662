import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { conformance } from '../conformance.ts'
import { networkFileSystem } from './directory.ts'
import { openLmdb } from './lmdb.ts'

conformance('lmdb', async () => {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-lmdb.'))
  return { open: () => openLmdb({ path }), dispose: () => rm(path, { recursive: true, force: true }) }
})

test('the directory and its files are for their user only, also if they were not before', async () => {
  const parent = await mkdtemp(join(tmpdir(), 'holdfast-lmdb.'))
  const path = join(parent, 'data.v1')
  await mkdir(path)
  await chmod(path, 0o777)
  const engine = await openLmdb({ path })
  assert.equal((await stat(path)).mode & 0o777, 0o700)
  for (const file of ['data.mdb', 'lock.mdb', 'journal-0', 'journal-1', 'holder.lock'])
    assert.equal((await stat(join(path, file))).mode & 0o777, 0o600)
  await engine.close()
  await rm(parent, { recursive: true })
})

test('network file systems are known by their number, signed or not', () => {
  assert.equal(networkFileSystem(0x6969), 'NFS')
  assert.equal(networkFileSystem(0xff534d42), 'CIFS')
  assert.equal(networkFileSystem(0xff534d42 | 0), 'CIFS')
  assert.equal(networkFileSystem(0xef53), null)
})

test('a write that fails is the last: no retry, no unhandled rejection', async t => {
  if (process.platform !== 'linux') return t.skip('needs a limit on the size of files, as Linux shells set it')
  const path = await mkdtemp(join(tmpdir(), 'holdfast-lmdb.'))
  const program = fileURLToPath(new URL('./failing-disk.ts', import.meta.url))
  const flags = process.execArgv.filter(flag => flag.startsWith('--conditions'))
  // 250 KiB a file: what is beyond fails as a broken disk does.
  const child = spawn('sh', ['-c', 'ulimit -f 500; exec "$@"', 'sh', process.execPath, ...flags, program, path], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  let said = ''
  child.stdout.on('data', chunk => {
    said += chunk
  })
  await once(child, 'close')
  const { committed, errors } = JSON.parse(said) as { committed: number; errors: string[] }
  assert.ok(committed > 0)
  assert.deepEqual(errors, ['EngineFatal', 'EngineFatal', 'EngineFatal'])
  await rm(path, { recursive: true })
})
