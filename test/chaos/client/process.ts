/**
 * A client process: several clients, each with lines of work (the generator of the simulator, on real time), a few more who take cold locks, hold
 * without renewing, or watch. It is told over standard input what to do next, and says over standard output what whoever started it must know at
 * once; everything else is in its history.
 */
import { readFileSync, writeSync } from 'node:fs'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError } from '../../../packages/client/src/errors.ts'
import type { Operation } from '../../checker/linear.ts'
import { exclusive } from '../../checker/lock-model.ts'
import { Anybody } from '../../harness/witness/by-hand.ts'
import { Call } from '../../simulator/call.ts'
import { type Chance, chanceOf } from '../../simulator/chance.ts'
import { heldBy, refusalOf } from '../../simulator/claims.ts'
import { receive, type Stage, work } from '../../simulator/workload.ts'
import { ChaosClient } from './client.ts'
import { History } from './history.ts'
import { realTime } from './real-time.ts'

export type ClientConfig = {
  index: number
  instance: string
  urls: string[]
  clients: number
  workers: number
  ttlsMs: number[]
  /** Mean, before each round of each line of work. */
  paceMs: number
  seed: number
  history: string
  resourcePort: number
  /** Of this process's clock, which is faked unless it is 1. */
  rate: number
  isClockFaked: boolean
  /** How long the machine has slept since it was started. */
  sleptMs: number
  watches: boolean
  /** Between locks that nobody renews; 0: none. */
  idleEveryMs: number
  idleTtlMs: number
  /** Mean, between cold locks of each of a few lines of work. */
  coldPaceMs: number
  coldLocks: number
  /** Of the value that is written to each of them while it is held: a log of many bytes is one that is cleaned. 0: none. */
  coldValueChars: number
}

const COLD_LANES = 2
const COUNTS_MS = 1_000
const OPENS_MAX = 5
/** Each start of a process has numbers of its own. */
const OPERATIONS_MAX = 10_000_000

class ClientProcess {
  readonly #config: ClientConfig
  readonly #history: History
  readonly #chance: Chance
  readonly #clients: ChaosClient[] = []
  readonly #counts: Record<string, number> = {}
  readonly #stop = new AbortController()
  readonly #resource
  readonly #numbers = new Map<Operation, number>()
  #working = 0
  #acquires = 0
  #calls = 0
  #isOver = false
  #pauses = 0

  #watcher: ChaosClient | null = null

  constructor(config: ClientConfig) {
    this.#config = config
    this.#history = new History(config.history, realTime(config))
    this.#chance = chanceOf(config.seed, `process ${config.index}`)
    this.#resource = connect(config.resourcePort, '127.0.0.1').setNoDelay(true)
    // What it answers is in its own record.
    this.#resource.resume()
  }

  async start(): Promise<void> {
    const { clients, workers, idleEveryMs, watches } = this.#config
    if (watches) void this.#watch()
    for (let place = 0; place < clients; place++) this.#clients.push(this.#client(place))
    await Promise.all(this.#clients.map(client => opened(client)))
    for (const client of this.#clients)
      for (let worker = 0; worker < workers; worker++)
        this.#begin(work(this.#stage, client, chanceOf(this.#config.seed, `${client.name} ${worker}`)))
    for (let lane = 0; lane < COLD_LANES; lane++) this.#begin(this.#cold(this.#clients[lane % clients]))
    if (idleEveryMs > 0) this.#begin(this.#idle())
    setInterval(() => this.#history.tell({ e: 'counts', counts: this.#counts }), COUNTS_MS)
    this.say('ready')
  }

  obey(line: string): void {
    const [word, value] = line.split(' ')
    if (word === 'finish') this.#isOver = true
    else if (word === 'pauses') this.#pauses = Number(value)
    else if (word === 'leave') void this.#leave()
  }

  say(text: string): void {
    writeSync(1, `${text}\n`)
  }

  #begin(routine: Promise<void>): void {
    this.#working++
    routine.then(
      () => {
        this.#working--
        if (this.#working === 0) this.say('finished')
      },
      error => this.#wrong(error),
    )
  }

  async #leave(): Promise<void> {
    this.#stop.abort()
    const doing = [...this.#stage.workers].map(worker => worker.doing)
    if (this.#working > 0) this.#history.tell({ e: 'wrong', what: `I8: this does not end: ${doing.join('; ')}` })
    const all = this.#watcher ? [...this.#clients, this.#watcher] : this.#clients
    await Promise.all(all.map(({ holdfast }) => holdfast.close()))
    this.#history.tell({ e: 'counts', counts: this.#counts })
    this.#history.tell({ e: 'left' })
    process.exit(0)
  }

  #client(place: number): ChaosClient {
    const { index, ttlsMs, urls, rate, instance } = this.#config
    const from = (index + place) % urls.length
    // By another name the library does not know it as the one that decides, and its requests are forwarded.
    const named = urls.map(url => (place % 2 === 1 ? url.replace('127.0.0.1', 'localhost') : url))
    return new ChaosClient({
      name: `client-${index}.${place}`,
      instance,
      ttlMs: ttlsMs[place % ttlsMs.length] ?? 1_000,
      urls: [...named.slice(from), ...named.slice(0, from)],
      history: this.#history,
      rate,
      opened: client => void receive(this.#stage, client),
    })
  }

  readonly #stage: Stage<ChaosClient> = {
    nowMs: () => this.#history.nowMs(),
    takesOne: () => {
      if (!this.#isOver) this.#count('operations')
      return !this.#isOver
    },
    nextOperation: () => this.#config.index * OPERATIONS_MAX + ++this.#acquires,
    paced: async () => {
      await sleep(this.#chance.between(0, this.#config.paceMs * 2))
    },
    others: client => this.#clients.filter(other => other !== client),
    began: (client, lock) => client.began(lock),
    holds: () => undefined,
    released: (_client, { name: lock, token }) => this.#history.tell({ e: 'released', lock, token }),
    refused: (_client, { operation }) => this.#history.tell({ e: 'refused', operation }),
    protectedWrite: (_client, lock) => this.#protectedWrite(lock),
    history: lock => ({ push: operation => this.#called(lock, operation) }),
    learned: operation => {
      const n = this.#numbers.get(operation)
      this.#numbers.delete(operation)
      if (n !== undefined) this.#history.tell({ e: 'return', n, deed: operation.deed })
    },
    counted: what => this.#count(what),
    fail: error => this.#wrong(error),
    workers: new Set(),
  }

  #called(lock: string, operation: Operation): void {
    const n = this.#config.index * OPERATIONS_MAX + ++this.#calls
    this.#numbers.set(operation, n)
    this.#history.tell({ e: 'call', n, lock, deed: operation.deed })
  }

  /** The check was made just before. A pause here is what fencing is for. */
  #protectedWrite({ name, token }: { name: string; token: number }): void {
    const isPaused = this.#chance.isLuckyAt(this.#pauses)
    if (isPaused) {
      this.say('pausing')
      process.kill(process.pid, 'SIGSTOP')
    }
    this.#resource.write(`${name} ${token} ${isPaused ? 'paused' : 'written'}\n`)
    this.#count('writes')
  }

  /** Many locks, each of them seldom taken. */
  async #cold(client: ChaosClient | undefined): Promise<void> {
    const { coldPaceMs, coldLocks, coldValueChars } = this.#config
    while (!this.#isOver && client) {
      await sleep(this.#chance.between(0, coldPaceMs * 2))
      const name = `cold/${this.#chance.below(coldLocks)}`
      if (!this.#stage.takesOne()) return
      try {
        const trying = this.#seen(name, client)
        const lock = await client.holdfast.tryAcquire(name)
        trying.ends(lock ? heldBy(lock) : refusalOf(null, { claim: exclusive, by: null }))
        if (!lock) continue
        client.began(lock)
        if (lock.isHeld) this.#protectedWrite(lock)
        if (coldValueChars > 0 && lock.isHeld) await lock.setValue('x'.repeat(coldValueChars))
        const leaving = this.#seen(name, client)
        const { session } = client
        const wasHeld = lock.isHeld
        await lock.release()
        // Of what was lost before, or goes with its session, nobody was told that it has ended.
        if (wasHeld && !session.isClosed) leaving.ends({ does: 'leave', token: lock.token })
      } catch (error) {
        this.#failed(error)
      }
    }
  }

  #seen(name: string, { options }: ChaosClient): Call {
    return new Call(this.#stage.history(name, options.instance), this.#stage, { does: 'nothing' })
  }

  /** Sessions that nobody renews, so that something expires. */
  async #idle(): Promise<void> {
    const { urls, index, idleEveryMs, idleTtlMs } = this.#config
    const anybody = new Anybody(urls)
    for (let number = 0; !this.#isOver; number++) {
      await sleep(this.#chance.between(idleEveryMs / 2, idleEveryMs * 1.5))
      const opened = await anybody.ask('POST', '/v2/sessions', { ttl_ms: idleTtlMs })
      const lock = `idle/${index}/${number}`
      const headers = { 'holdfast-session': `${opened.body.session_id}.${opened.body.session_secret}` }
      const t = this.#history.nowMs()
      const { status, body } = await anybody.ask('POST', `/v2/locks/${encodeURIComponent(lock)}/acquire`, {}, headers)
      if (status === 200) this.#history.tell({ e: 'idle', t, lock, token: Number(body.token), ttlMs: idleTtlMs })
    }
  }

  async #watch(): Promise<void> {
    const watcher = `watcher-${this.#config.index}`
    const client = this.#client(0)
    this.#watcher = client
    this.#history.tell({ e: 'watches', watcher })
    try {
      for await (const item of client.holdfast.watch({ signal: this.#stop.signal }))
        this.#history.tell({
          e: 'seen',
          watcher,
          item:
            item.type === 'reset'
              ? { reset: item.cursor }
              : { id: item.id, type: item.type, lock: item.lock, token: item.token },
        })
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#failed(error)
    }
  }

  #count(what: string): void {
    this.#counts[what] = (this.#counts[what] ?? 0) + 1
  }

  #failed(error: unknown): void {
    if (error instanceof HoldfastError) this.#count(`failed ${error.code}`)
    else this.#wrong(error)
  }

  #wrong(error: unknown): void {
    this.#history.tell({ e: 'wrong', what: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
}

/** On a machine that is busy with other things the first try may not be answered in time. */
async function opened({ holdfast }: ChaosClient): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await holdfast.sessionId()
      return
    } catch (error) {
      if (tries === OPENS_MAX || !(error instanceof HoldfastError)) throw error
    }
  }
}

// As it was written by whoever started this process.
const config = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as ClientConfig
const run = new ClientProcess(config)
const input = createInterface({ input: process.stdin })
input.on('line', line => run.obey(line))
// Whoever started it is gone.
input.on('close', () => process.exit(1))
await run.start()
