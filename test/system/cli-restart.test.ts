/** The command line while the server is restarted under it. */
import { strict as assert } from 'node:assert'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { cli, startCli } from '../harness/cli.ts'
import { temporaryFolder } from '../harness/process.ts'
import { type Server, startServer } from '../harness/server.ts'

const folder = temporaryFolder('cli-restart')
let server: Server

before(async () => {
  server = await startServer({ data: folder.path })
})

after(async () => {
  await server.stop()
  folder.remove()
})

const run = (...args: string[]) => cli(args, { url: server.url })
const start = (...args: string[]) => startCli(args, { url: server.url })
const why = async (name: string) => JSON.parse((await run('why', name, '--json')).stdout)

for (const how of ['stop', 'kill'] as const) {
  test(`a wait of acquire goes on, in its place, when the server is restarted (${how})`, async () => {
    const name = `wait/${how}`
    const first = (await run('acquire', name, '--ttl', '1h')).stdout.trim()
    const waiting = start('acquire', name, '--wait', '60s', '--ttl', '1h', '--holder', 'the second')
    while ((await why(name)).waiters.length === 0) await sleep(20)
    await server[how]()
    server = await startServer({ data: folder.path, port: server.port })
    assert.equal((await run('release', name, first)).code, 0)
    const { code, stdout, stderr } = await waiting.ended
    assert.equal(code, 0, stderr)
    // Who holds is who was answered, and nobody else has been left in line.
    const { lock, waiters } = await why(name)
    assert.deepEqual([lock.holder, waiters], ['the second', []])
    assert.equal((await run('release', name, stdout.trim())).code, 0)
    assert.equal((await why(name)).lock.state, 'free')
  })
}

test('with a longer TTL a command of run goes on through a restart of the server', async () => {
  const end = join(folder.path, 'end')
  const running = start(
    'run',
    '--ttl',
    '2m',
    'long',
    'sh',
    '-c',
    `echo started; until [ -e ${end} ]; do sleep 0.05; done`,
  )
  await running.says(/started/)
  await server.kill()
  server = await startServer({ data: folder.path, port: server.port })
  assert.equal((await why('long')).lock.state, 'held')
  writeFileSync(end, '')
  assert.equal((await running.ended).code, 0)
})
