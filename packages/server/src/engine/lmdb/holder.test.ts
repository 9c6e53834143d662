import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { StoreInUse } from '../../process-lock/holder.ts'
import { openLmdb } from './lmdb.ts'

const program = fileURLToPath(new URL('./second.ts', import.meta.url))
let path: string
before(async () => {
  path = await mkdtemp(join(tmpdir(), 'holdfast-holder.'))
})
after(() => rm(path, { recursive: true, force: true }))

async function start(): Promise<{ child: ChildProcess; said: string }> {
  const flags = process.execArgv.filter(flag => flag.startsWith('--conditions'))
  const child = spawn(process.execPath, [...flags, '--expose-gc', program, path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [said] = await once(child.stdout!, 'data')
  return { child, said: String(said) }
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

test('one process has the store, until it ends however it ends', async () => {
  const first = await start()
  assert.equal(first.said, 'has it\n')
  const second = await start()
  await kill(second.child)
  assert.match(second.said, new RegExp(`^StoreInUse: .*in use.*process ${first.child.pid}, running since 2`))
  // Stopped, it has it still: what it has acknowledged is in its memory.
  first.child.kill('SIGSTOP')
  const third = await start()
  await kill(third.child)
  assert.match(third.said, /^StoreInUse/)
  await kill(first.child)
  const next = await start()
  await kill(next.child)
  assert.equal(next.said, 'has it\n')
})

test('twice in one process is refused too, and the message says where to ask if it is served', async () => {
  const engine = await openLmdb({ path })
  const refused = async () => {
    const error = await openLmdb({ path }).catch((thrown: unknown) => thrown)
    assert.ok(error instanceof StoreInUse)
    return error.socket
  }
  assert.equal(await refused(), null)
  let isServed = true
  await engine.serveAt({
    path: '/somewhere',
    close: async () => {
      isServed = false
    },
  })
  assert.equal(await refused(), '/somewhere')
  assert.equal((await stat(join(path, 'holder.json'))).mode & 0o777, 0o600)
  await engine.close()
  assert.equal(isServed, false)
  const next = await openLmdb({ path })
  assert.equal(next.formerSocket, '/somewhere')
  await next.close()
})
