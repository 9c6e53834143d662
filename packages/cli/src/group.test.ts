/** The group ends with this process, and one that may not be signalled is waited for. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ProcessGroup } from './group.ts'

const source = new URL('./group.ts', import.meta.url).href

test('a group does not outlive the process that has started it, when that ends by an error', async () => {
  const script = `
    import { ProcessGroup } from ${JSON.stringify(source)}
    const lasting = 'trap "" TERM; echo $$; exec 1>&-; while :; do sleep 0.1; done'
    await ProcessGroup.start(['sh', '-c', lasting], {}, () => {})
    setTimeout(() => { throw new Error('a bug') }, 500)`
  const child = spawn(process.execPath, ['--conditions=source', '--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  let said = ''
  child.stdout.on('data', (data: Buffer) => {
    said += data.toString()
  })
  await new Promise(resolve => child.once('close', resolve))
  assert.match(said, /^\d+\n$/)
  for (let looks = 0; looks < 100 && isAlive(Number(said)); looks++) await sleep(20)
  assert.equal(isAlive(Number(said)), false)
})

test('who may not be signalled is alive, and this is said once', async t => {
  const warnings: string[] = []
  const group = await ProcessGroup.start(['sleep', '60'], {}, message => warnings.push(message))
  const forbidding = t.mock.method(process, 'kill', () => {
    throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' })
  })
  assert.equal(group.signal('SIGTERM'), false)
  assert.equal(group.signal('SIGKILL'), false)
  assert.equal(group.isAlive, true)
  assert.equal(warnings.length, 1)
  forbidding.mock.restore()
  assert.equal(group.signal('SIGKILL'), true)
  await group.gone()
  assert.equal(group.isAlive, false)
  group.letGo()
})

function isAlive(pid: number): boolean {
  try {
    process.kill(-pid, 0)
    // A container without an init keeps the dead as zombies.
    return process.platform !== 'linux' || !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
