import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { conformance } from '../conformance.ts'
import { networkFileSystem } from './directory.ts'
import { openLmdb } from './lmdb.ts'

conformance('lmdb', async () => {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-lmdb.'))
  let engine = await openLmdb({ path })
  return {
    engine,
    reopen: async () => {
      await engine.close()
      engine = await openLmdb({ path })
      return engine
    },
    dispose: () => rm(path, { recursive: true, force: true }),
  }
})

test('the directory and its files are for their user only, also if they were not before', async () => {
  const parent = await mkdtemp(join(tmpdir(), 'holdfast-lmdb.'))
  const path = join(parent, 'data.v1')
  await mkdir(path)
  await chmod(path, 0o777)
  const engine = await openLmdb({ path })
  assert.equal((await stat(path)).mode & 0o777, 0o700)
  for (const file of ['data.mdb', 'lock.mdb']) assert.equal((await stat(join(path, file))).mode & 0o777, 0o600)
  await engine.close()
  await rm(parent, { recursive: true })
})

test('network file systems are known by their number, signed or not', () => {
  assert.equal(networkFileSystem(0x6969), 'NFS')
  assert.equal(networkFileSystem(0xff534d42), 'CIFS')
  assert.equal(networkFileSystem(0xff534d42 | 0), 'CIFS')
  assert.equal(networkFileSystem(0xef53), null)
})
