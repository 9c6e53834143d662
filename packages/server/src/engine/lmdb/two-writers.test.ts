import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openLmdb } from './lmdb.ts'

const TIMES = 300

test('of commits that two processes make under one check exactly one passes', async () => {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-writers.'))
  try {
    const program = fileURLToPath(new URL('./counting.ts', import.meta.url))
    const flags = process.execArgv.filter(flag => flag.startsWith('--conditions'))
    const counting = [0, 1].map(() =>
      once(
        spawn(process.execPath, [...flags, program, path, String(TIMES)], { stdio: ['ignore', 'ignore', 'inherit'] }),
        'exit',
      ),
    )
    assert.deepEqual(await Promise.all(counting), [
      [0, null],
      [0, null],
    ])
    const engine = await openLmdb({ path })
    const pair = await engine.read('count')
    await engine.close()
    assert.equal(Buffer.from(pair!.value).toString(), String(2 * TIMES), 'every one that passed has counted')
  } finally {
    await rm(path, { recursive: true })
  }
})
