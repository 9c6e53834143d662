/** Every example does its work with the lock, and goes wrong without it: else it would show nothing. */
import { strict as assert } from 'node:assert'
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { nodeFlags } from '../../scripts/node.mjs'
import { temporaryFolder } from '../harness/process.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'

const examples = fileURLToPath(new URL('../../examples', import.meta.url))
const folder = temporaryFolder('examples')
let server: Server

before(async () => {
  server = await startServer({ data: folder.path })
})

after(async () => {
  await server.stop()
  folder.remove()
})

type Ended = { code: number | null; isRight: unknown; output: string }

function runExample(file: string, ...args: string[]): Promise<Ended> {
  const child = spawn(process.execPath, [...nodeFlags, `${examples}/${file}`, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, HOLDFAST_URL: server.url, HOLDFAST_API_KEY: rootKey, NODE_TEST_CONTEXT: undefined },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => {
      output += data.toString()
    })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => resolve({ code, isRight: /"isRight":(true|false)\}/.exec(output)?.[1], output }))
  })
}

for (const file of readdirSync(examples).filter(name => name.endsWith('.ts'))) {
  test(`${file} does its work with the lock`, async () => {
    const ended = await runExample(file)
    assert.deepEqual([ended.code, ended.isRight], [0, 'true'], ended.output)
  })

  test(`${file} goes wrong without the lock`, async () => {
    const ended = await runExample(file, '--without-lock')
    assert.deepEqual([ended.code, ended.isRight], [1, 'false'], ended.output)
  })
}
