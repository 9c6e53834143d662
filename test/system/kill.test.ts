/**
 * kill -9 in the middle of load, again and again, on one data folder: every acknowledged grant is still held, every acknowledged release
 * stays released, no token comes twice, every session gets its full TTL again, and whatever was unknown is answered with the truth under its id.
 */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientRequest } from '@holdfast/protocol/frame'
import { temporaryFolder } from '../harness/process.ts'
import { rootKey, startServer } from '../harness/server.ts'
import { Wire } from '../harness/wire.ts'

/** The long form is 200: `TEST_KILLS=200 npm test -- kill.test`. A server takes a second or two to load its sources, each time. */
const LOOPS = Number(process.env.TEST_KILLS ?? 100)
const WORKERS = 24
const TTL_MS = 60_000
/** Far less than the whole test takes, far more than one loop. */
const WITNESS_TTL_MS = 20_000

/** What a worker knows for certain, and what it has asked without an answer. */
type Worker = { name: string; token: number | null; asked: ClientRequest | null }

type Seen = { tokens: Set<number>; grants: number; unknown: number; settled(nextId: number): number }

test(`${LOOPS} times kill -9 under load: what was acknowledged is true`, async () => {
  const folder = temporaryFolder('kill')
  const workers: Worker[] = Array.from({ length: WORKERS }, (_, index) => ({
    name: `kill/${index}`,
    token: null,
    asked: null,
  }))
  const seen: Seen = {
    tokens: new Set(),
    grants: 0,
    unknown: 0,
    // Below it, nothing will be asked again.
    settled: nextId => Math.min(nextId, ...workers.map(({ asked }) => asked?.id ?? nextId)),
  }
  const witness = new Witness()
  let session: string | null = null
  let nextId = 1
  for (let loop = 0; loop < LOOPS; loop++) {
    const server = await startServer({ data: folder.path })
    const wire: Wire = await Wire.connect(server.url, session ? { session } : { ttlMs: TTL_MS })
    if (session) assert.equal(wire.welcome.session.id, session.split('.')[0], 'the session is the same')
    session = wire.session
    wire.nextId = nextId
    await judge(server.url, session, workers)
    await witness.check(server.url)
    let isOver = false
    const work = workers.map(worker => run(wire, worker, seen, () => isOver))
    await sleep(20 + ((loop * 37) % 90))
    isOver = true
    await server.kill()
    // What was in the sockets is read before anything is judged.
    await sleep(5)
    void work
    wire.close()
    nextId = wire.nextId
  }
  folder.remove()
  assert(seen.grants > LOOPS * WORKERS, `only ${seen.grants} grants in ${LOOPS} loops`)
  assert(
    seen.unknown > LOOPS / 2,
    `only ${seen.unknown} outcomes were unknown: the kills came too late to prove anything`,
  )
})

/** Cycles until it is over; first finds out what became of the request that was never answered. */
async function run(wire: Wire, worker: Worker, seen: Seen, isOver: () => boolean): Promise<void> {
  if (worker.asked) {
    seen.unknown++
    await step(wire, worker, seen, worker.asked)
  }
  while (!isOver()) {
    const request =
      worker.token === null
        ? ({ type: 'acquire', name: worker.name, wait_ms: 0 } as const)
        : ({ type: 'release', name: worker.name, token: worker.token } as const)
    const settled = seen.settled(wire.nextId)
    await step(wire, worker, seen, { ...request, id: wire.nextId++, settled })
  }
}

async function step(wire: Wire, worker: Worker, seen: Seen, request: ClientRequest): Promise<void> {
  worker.asked = request
  const reply = await wire.ask(request, request.id)
  worker.asked = null
  assert.equal(reply.error, undefined, `${JSON.stringify(request)} was answered ${JSON.stringify(reply)}`)
  if (request.type === 'release') {
    worker.token = null
    return
  }
  const { grant } = reply as unknown as { grant: { token: number } }
  assert(!seen.tokens.has(grant.token), `token ${grant.token} came twice`)
  seen.tokens.add(grant.token)
  seen.grants++
  worker.token = grant.token
}

type Lock = { state: string; token?: number }

/** Against what the server that has just started says. */
async function judge(url: string, session: string, workers: Worker[]): Promise<void> {
  const headers = { authorization: `Bearer ${rootKey}`, 'holdfast-session': session }
  for (const { name, token, asked } of workers) {
    const response = await fetch(`${url}/v2/locks/${encodeURIComponent(name)}`, { headers })
    const lock: Lock = response.status === 404 ? { state: 'free' } : ((await response.json()) as Lock)
    if (token !== null && !asked) assert.equal(lock.token, token, `${name}: an acknowledged grant is gone`)
    if (token === null && !asked) assert.equal(lock.state, 'free', `${name}: an acknowledged release came back`)
    if (token !== null && asked && lock.state === 'held')
      assert.equal(lock.token, token, `${name} is held under another token`)
  }
}

/** A session that is never renewed and yet lives through all the restarts, since each of them gives it its full TTL again. */
class Witness {
  private session = ''
  private token = 0

  async check(url: string): Promise<void> {
    const headers = { authorization: `Bearer ${rootKey}`, 'content-type': 'application/json' }
    if (this.session === '') {
      const opened = await fetch(`${url}/v2/sessions`, {
        method: 'POST',
        headers,
        body: JSON.stringify({ ttl_ms: WITNESS_TTL_MS }),
      })
      const { session_id: id, session_secret: secret } = (await opened.json()) as {
        session_id: string
        session_secret: string
      }
      this.session = `${id}.${secret}`
      const body = JSON.stringify({ mode: 'exclusive', wait_ms: 0 })
      const granted = await fetch(`${url}/v2/locks/witness/acquire`, {
        method: 'POST',
        headers: { ...headers, 'holdfast-session': this.session },
        body,
      })
      this.token = ((await granted.json()) as { token: number }).token
      assert(this.token > 0)
    }
    const response = await fetch(`${url}/v2/locks/witness`, { headers })
    assert.equal(
      ((await response.json()) as Lock).token,
      this.token,
      'a session that got its full TTL again would still hold its lock',
    )
  }
}
