/**
 * Servers that are killed, stopped, started anew, cut from each other, and a store that loses requests and replies, all drawn by chance from a seed, under
 * clients that ask through whichever server they find. The log that remains is judged by itself, and against what the clients were told.
 *
 * `TEST_SEED=n TEST_RUNS=m` runs m seeds from n on.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Batch } from '../shards/batch.ts'
import { acquireOf, type Heard } from '../shards/testing.ts'
import { Cluster } from './testing.ts'

const FIRST_SEED = Number(process.env.TEST_SEED ?? 1)
const RUNS = Number(process.env.TEST_RUNS ?? 4)
const SERVERS = 3
const CLIENTS = 6
const LOCKS = 4
const STEPS = 400
const STEP_MS = 50

function drawing(seed: number) {
  let state = seed * 7_919
  return (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return (state >>> 8) % below
  }
}

/** One that does one thing at a time, and asks again under the same id until it knows. */
class Client {
  readonly instance: string
  readonly #cluster: Cluster
  readonly #draw: (below: number) => number
  readonly session: string
  #request = 0
  #asking: { heard: Heard; again: () => Heard } | null = null
  #then: (heard: Heard) => void = () => undefined
  held: { lock: string; token: number } | null = null
  /** Every grant and every release that it was told of. */
  readonly granted: { lock: string; token: number }[] = []
  readonly released: number[] = []

  constructor(cluster: Cluster, options: { instance: string; session: string; draw: (below: number) => number }) {
    this.#cluster = cluster
    this.instance = options.instance
    this.session = options.session
    this.#draw = options.draw
  }

  get isAsking(): boolean {
    return this.#asking !== null
  }

  step(): void {
    const asking = this.#asking
    if (!asking) return this.#begin()
    if (asking.heard.answers === 0) return
    if (asking.heard.failed) {
      assert.equal(asking.heard.failed.code, 'unavailable')
      asking.heard = asking.again()
      return
    }
    this.#asking = null
    this.#then(asking.heard)
  }

  #begin(): void {
    const { held } = this
    this.#request++
    const request = this.#request
    if (!held) {
      const lock = `lock/${this.#draw(LOCKS)}`
      const waitMs = this.#draw(2) === 0 ? 0 : null
      this.#ask(() => acquireOf(this.session, lock, { waitMs, request }))
      this.#then = ({ answer }) => {
        if (!answer?.ok || answer.type !== 'granted')
          return assert.ok(answer && !answer.ok && answer.code === 'lock_held', JSON.stringify(answer))
        this.held = { lock, token: answer.grants[0]!.token }
        this.granted.push(this.held)
      }
      return
    }
    if (this.#draw(4) > 0) {
      this.#ask(() => ({ type: 'renew', by: 'test', session: this.session }))
      this.#then = ({ answer }) => assert.ok(answer?.ok)
      return
    }
    this.#ask(() => ({ type: 'release', by: 'test', session: this.session, grants: [held], request }))
    this.#then = ({ answer }) => {
      assert.ok(answer?.ok, JSON.stringify(answer))
      this.released.push(held.token)
      this.held = null
    }
  }

  #ask(command: () => Parameters<Cluster['servers'][number]['tell']>[0]): void {
    const again = () => this.#somewhere().tell(command(), { instance: this.instance })
    this.#asking = { heard: again(), again }
  }

  /** What was asked of a server that died is never answered: its connection is gone, and it is asked elsewhere. */
  lostConnection(): void {
    if (this.#asking?.heard.answers === 0) this.#asking.heard = this.#asking.again()
  }

  #somewhere() {
    const running = this.#cluster.servers.filter((_, place) => this.#cluster.isRunning(place))
    return running[this.#draw(running.length)] ?? this.#cluster.servers[0]!
  }
}

/** One fault, or the end of one. At most one server is away at a time, so that somebody can always answer. */
function disturb(
  cluster: Cluster,
  draw: (below: number) => number,
  away: { place: number; since: number; how: 'killed' | 'stopped' } | null,
  step: number,
) {
  if (away && step - away.since > 20 + draw(80)) {
    if (away.how === 'stopped') cluster.resume(away.place, (step - away.since) * STEP_MS)
    else cluster.restart(away.place)
    return null
  }
  // One whose record was deleted while it was stopped has ended by itself.
  for (let place = 0; place < SERVERS; place++) {
    if (away?.place !== place && cluster.fatal[place]!.length > 0) {
      cluster.kill(place)
      cluster.restart(place)
    }
  }
  if (away || draw(40) > 0) return away
  const place = draw(SERVERS)
  if (!cluster.isRunning(place)) return away
  switch (draw(4)) {
    case 0:
      cluster.kill(place)
      return { place, since: step, how: 'killed' as const }
    case 1:
      cluster.stop(place)
      return { place, since: step, how: 'stopped' as const }
    case 2:
      cluster.cut()
      return null
    default: {
      let losses = 1 + draw(4)
      cluster.fate(place, () => (losses-- > 0 ? (draw(2) === 0 ? 'lose' : 'lose_reply') : 'pass'))
      return null
    }
  }
}

async function run(seed: number): Promise<void> {
  const draw = drawing(seed)
  const cluster = await Cluster.start(SERVERS)
  const instances = cluster.instances(2)
  const clients: Client[] = []
  for (let number = 0; number < CLIENTS; number++) {
    const instance = instances[number % instances.length]!
    const session = await cluster.servers[0]!.session(600_000, instance)
    clients.push(new Client(cluster, { instance, session, draw }))
  }
  let away: Parameters<typeof disturb>[2] = null
  for (let step = 0; step < STEPS; step++) {
    const before: Parameters<typeof disturb>[2] = away
    away = disturb(cluster, draw, away, step)
    if (away !== before) for (const client of clients) client.lostConnection()
    for (const client of clients) client.step()
    await cluster.pass(STEP_MS)
  }
  if (away?.how === 'stopped') cluster.kill(away.place)
  for (const client of clients) client.lostConnection()
  await cluster.pass(6_000)
  for (let step = 0; step < 100; step++) {
    for (const client of clients) if (client.isAsking) client.step()
    await cluster.pass(STEP_MS)
  }
  for (const instance of instances)
    judge(
      cluster.batches(instance),
      instance,
      clients.filter(client => client.instance === instance),
    )
  const grants = clients.reduce((sum, client) => sum + client.granted.length, 0)
  assert.ok(grants > 20, `only ${grants} grants: nothing has been shown`)
}

/** The log is a chain in which tokens only grow and no lock has two holders; and it says what the clients were told. */
function judge(batches: Batch[], instance: string, clients: Client[]): void {
  const holders = new Map<string, number>()
  const granted = new Map<number, string>()
  const ended = new Set<number>()
  let [lastToken, lastEpoch] = [0, 0]
  for (const batch of batches) {
    assert.ok(batch.epoch >= lastEpoch, `epoch ${batch.epoch} after ${lastEpoch}`)
    lastEpoch = batch.epoch
    for (const [name, ...entries] of batch.entries) {
      for (const entry of entries) {
        if (name !== instance || entry.record !== 'grant') continue
        if (entry.value) {
          assert.equal(holders.get(entry.lock), undefined, `${entry.lock} has two holders`)
          assert.ok(entry.token > lastToken, `token ${entry.token} after ${lastToken}`)
          lastToken = entry.token
          holders.set(entry.lock, entry.token)
          granted.set(entry.token, entry.value.session)
        } else {
          assert.equal(holders.get(entry.lock), entry.token)
          assert.equal(entry.type, 'released', 'no session ends, and nobody forces')
          holders.delete(entry.lock)
          ended.add(entry.token)
        }
      }
    }
  }
  for (const client of clients) {
    for (const { token } of client.granted)
      assert.equal(granted.get(token), client.session, `grant ${token} is in the log`)
    for (const token of client.released) assert.equal(ended.has(token), true, `the release of ${token} is in the log`)
    if (client.held) assert.equal(holders.get(client.held.lock), client.held.token, 'what it holds is held')
  }
  const known = new Set(clients.flatMap(({ held }) => (held ? [held.token] : [])))
  for (const token of holders.values()) assert.ok(known.has(token), `grant ${token} is held by nobody who knows of it`)
}

for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS; seed++) {
  test(`servers that come and go, seed ${seed}`, () => run(seed))
}
