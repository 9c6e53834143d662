/** Real processes on one real directory. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('./second-process.ts', import.meta.url))

let path: string
before(async () => {
  path = await mkdtemp(join(tmpdir(), 'holdfast-second.'))
})
after(() => rm(path, { recursive: true, force: true }))

type Running = { child: ChildProcess; next(): Promise<Record<string, unknown>> }

function start(...args: string[]): Running {
  const child = spawn(
    process.execPath,
    [...process.execArgv.filter(flag => flag.startsWith('--conditions')), program, path, ...args],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  return {
    child,
    next: async () => {
      const { value, done } = await lines.next()
      assert.ok(!done, 'the process has said its last word')
      return JSON.parse(value) as Record<string, unknown>
    },
  }
}

async function stop({ child }: Running, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill(signal)
  await gone
}

test('a second process on the same directory is refused with a clear message, and the first goes on', async () => {
  const first = start('hold')
  try {
    const { token } = await first.next()
    const second = start('hold')
    const refused = await second.next()
    assert.equal(refused.error, 'StoreInUse')
    assert.match(String(refused.message), new RegExp(`process ${first.child.pid}.*running since`))
    await stop(second, 'SIGKILL')
    const again = start('hold')
    assert.equal((await again.next()).error, 'StoreInUse')
    await stop(again, 'SIGKILL')
    assert.equal(typeof token, 'number')
  } finally {
    await stop(first, 'SIGKILL')
  }
})

test('killed again and again in the middle of its work, it loses nothing that it acknowledged and repeats no token', async () => {
  const tokens = new Set<number>()
  let held: { lock: string; token: number }[] = []
  for (let round = 0; round < 8; round++) {
    const server = start('load', String(round))
    try {
      const found = await server.next()
      assert.equal(found.error, undefined, String(found.message))
      const kept = new Map(Object.entries(found.held as Record<string, number>))
      for (const { lock, token } of held) assert.equal(kept.get(lock), token, `${lock} was acknowledged as held`)
      held = []
      for (let count = 0; count < 40; count++) {
        const { lock, token } = (await server.next()) as { lock: string; token: number }
        assert.ok(!tokens.has(token), 'a token twice')
        tokens.add(token)
        held.push({ lock, token })
      }
    } finally {
      await stop(server, 'SIGKILL')
    }
  }
})
