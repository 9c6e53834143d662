/** The page on a lock's settings: what it says to type is typed, in its order, on a real server. */
import { strict as assert } from 'node:assert'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { cli } from '../harness/cli.ts'
import { temporaryFolder } from '../harness/process.ts'
import { type Server, startServer } from '../harness/server.ts'

const page = readFileSync(fileURLToPath(new URL('../../docs/lock-settings.md', import.meta.url)), 'utf8')
const blocks = [...page.matchAll(/^```sh\n(.*?)^```/gms)].map(([, text = '']) => text.trim().split('\n'))
const folder = temporaryFolder('settings')
let server: Server

before(async () => {
  server = await startServer({ data: folder.path })
})
after(async () => {
  await server.stop()
  folder.remove()
})

const run = (...words: string[]) => cli(words, { url: server.url })
/** Words as a shell takes them apart. */
const typed = (line = '') =>
  run(...[...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, word]) => quoted ?? word!).slice(1))

test('each command of the page works, in its order, and settings are what it says', async () => {
  const [settings = [], freezes = [], ...more] = blocks
  assert.deepEqual(more, [])
  const said: string[] = []
  for (const line of settings) {
    const { code, stdout, stderr } = await typed(line)
    assert.equal(code, 0, `${line}: ${stderr}`)
    said.push(stdout)
  }
  assert.match(said[3]!, /queue max +10\n.*preemption +graceful\n.*grace +20s\n.*min hold +1m\n.*max hold +30m\n/s)
  assert.match(said[3]!, /team=platform/)
  assert.doesNotMatch(said[4]!, /max hold|team=/)
  assert.match(said[4]!, /queue max +10/)
  assert.equal((await run('show', 'gpu')).code, 124, 'it has no settings, and is not in use')
  for (const line of freezes) {
    const { code, stdout, stderr } = await typed(line)
    assert.equal(code, 0, `${line}: ${stderr}`)
    if (line === 'holdfast freezes') assert.match(stdout, /deploy\/ +\S+ +root +Release in progress/)
  }
  const none = await run('freezes')
  assert.deepEqual([none.code, none.stdout, /nothing is frozen/.test(none.stderr)], [0, '', true])
  assert.deepEqual(JSON.parse((await run('freezes', '--json')).stdout), { freezes: [] })
})

test('what contradicts itself or is no setting is refused, and nothing is changed', async () => {
  const before = (await run('configure', 'deploy/web', '--json')).stdout
  for (const words of [
    ['--delete', '--limit', '3'],
    ['--unset', 'grace', '--grace', '3s'],
    ['--unset', 'colour'],
    ['--unset', 'labels', '--label', 'a=b'],
    ['--label', 'nothing'],
    ['--queue-max', '-1'],
    ['--limit', '0'],
  ]) {
    const { code, stderr } = await run('configure', 'deploy/web', ...words)
    assert.equal(code, 124, `${words.join(' ')}: ${stderr}`)
    assert.notEqual(stderr, '')
  }
  assert.equal((await run('configure', 'deploy/web', '--json')).stdout, before)
})
