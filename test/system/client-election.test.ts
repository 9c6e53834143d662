/** Elections through the library, against the real server. */
import { strict as assert } from 'node:assert'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ConnectOptions, connect, type Holdfast } from '@holdfast/client'
import { temporaryFolder } from '../harness/process.ts'
import { startProxy } from '../harness/proxy.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'

const folder = temporaryFolder('client-election')
let server: Server
const open: Holdfast[] = []

before(async () => {
  server = await startServer({ data: folder.path })
})

after(async () => {
  await Promise.all(open.map(holdfast => holdfast.close()))
  await server.stop()
  folder.remove()
})

function client(options: ConnectOptions = {}): Holdfast {
  const holdfast = connect({ url: server.url, apiKey: rootKey, ...options })
  open.push(holdfast)
  return holdfast
}

test('the leader proclaims, all observe, and the next candidate takes over', async () => {
  const [one, two, voter] = [client({ name: 'one' }), client({ name: 'two' }), client()]
  const seen: (string | null)[] = []
  const controller = new AbortController()
  const observing = (async () => {
    for await (const leader of voter.election('boss').observe({ signal: controller.signal })) {
      seen.push(leader && `${leader.holder}:${leader.value}`)
      if (leader?.holder === 'two') break
    }
  })()
  while (seen.length === 0) await sleep(5)
  const first = await one.election('boss').campaign('v1')
  while (seen.length < 2) await sleep(5)
  const campaigning = two.election('boss').campaign('w1')
  await first.proclaim('v2')
  while (!seen.includes('one:v2')) await sleep(5)
  await first.resign()
  const second = await campaigning
  await observing
  assert.ok(second.token > first.token)
  assert.deepEqual(
    seen.filter(leader => leader !== null),
    ['one:v1', 'one:v2', 'two:w1'],
  )
  assert.equal((await voter.election('boss').leader())?.value, 'w1')
})

test('who observes an election hears of each change over a connection that breaks as it is told', async () => {
  const proxy = await startProxy(server.port)
  const leader = await client().election('far').campaign('v1')
  const seen: (string | null | undefined)[] = []
  const observing = (async () => {
    for await (const now of client({ url: proxy.url }).election('far').observe()) {
      seen.push(now?.value)
      if (now?.value === 'v3') break
    }
  })()
  try {
    while (!seen.includes('v1')) await sleep(5)
    proxy.delay(50)
    await leader.proclaim('v2')
    // It has been told of the change by now, and asks what it is.
    await sleep(80)
    proxy.reset()
    await leader.proclaim('v3')
    await observing
  } finally {
    await proxy.close()
  }
})

test('who has seen enough of an election is not kept until the next change', async () => {
  const leaders = client().election('quiet').observe()
  assert.deepEqual(await leaders.next(), { done: false, value: null })
  const next = leaders.next()
  await leaders.return(null)
  assert.equal((await next).done, true)
  assert.equal((await leaders.next()).done, true)
})
