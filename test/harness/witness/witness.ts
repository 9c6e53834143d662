/**
 * A load and its judge in one: clients of all kinds that work against a cluster while something is done to it, and who see to it that nothing that
 * was promised is broken. All that it uses is one instance, so all of it falls on one shard: whoever strikes that shard's owner strikes all.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Holdfast } from '@holdfast/client'
import { rootKey } from '../server.ts'
import { Anybody, type Grant, holdByHand, renewByHand } from './by-hand.ts'
import { Watcher } from './events.ts'
import { Figures, type Mark } from './figures.ts'
import { Judge } from './judge.ts'
import { cycle, hold, line } from './workers.ts'

export type WitnessOptions = {
  urls: readonly string[]
  /** Of the library's sessions. Default: the library's own. */
  ttlMs?: number
  /** Of the sessions that are renewed by hand. Shorter than an outage in which nobody can renew; else long, as a busy machine may keep them waiting. */
  renewedTtlMs?: number
}

const PREFIX = 'witness/'
const OWN_CLIENTS = 3
const OWN_LOCKS_EACH = 8
const OWN = { holdMs: 2, pauseMs: 8 }
const CONVOYS = 2
const CONVOY_CLIENTS = 6
const CONVOY = { holdMs: 1, pauseMs: 3 }
const HELD = 6
const RENEWED = 3
const RENEWED_TTL_MS = 20_000
const HELD_AGAIN_TTL_MS = 60_000
const LOOK_MS = 20
/** For all to have begun. */
const SETTLE_MS = 500
const ARRIVAL_MS_MAX = 20_000
/** Wall clocks are read to the millisecond, and a label is made after what it labels. */
const LABEL_MS = 50

export class Witness {
  readonly judge = new Judge()
  readonly figures = new Figures()
  readonly anybody: Anybody
  readonly #options: WitnessOptions
  readonly #clients: Holdfast[] = []
  readonly #lineClients: Holdfast[] = []
  readonly #watchers: Watcher[] = []
  readonly #work: Promise<void>[] = []
  #isOver = false
  #lines = 0
  #connected = 0

  private constructor(options: WitnessOptions) {
    this.#options = options
    this.anybody = new Anybody(options.urls)
  }

  /** Resolves when everybody has been served. */
  static async start(options: WitnessOptions): Promise<Witness> {
    const witness = new Witness(options)
    await witness.#watch()
    await witness.#begin()
    await sleep(SETTLE_MS)
    await witness.served(witness.figures.mark())
    return witness
  }

  /** A line is formed, to be served when whatever happens has happened. */
  line(): Promise<{ serve(): Promise<void> }> {
    return line(this.#port, this.#lineClients, `${PREFIX}line/${++this.#lines}`)
  }

  /** A grant whose session nobody renews. */
  idle(ttlMs: number): Promise<Grant> {
    return holdByHand(this.anybody, `${PREFIX}idle/${++this.#lines}`, ttlMs)
  }

  /** The same lock again, for somebody else, once it is free. */
  again(name: string): Promise<Grant> {
    return holdByHand(this.anybody, name, HELD_AGAIN_TTL_MS)
  }

  /** How long after the mark the last of them was served. Waits until all have been, and gives up after `msMax`. */
  async served(mark: Mark, msMax = 60_000): Promise<number> {
    for (;;) {
      const ms = mark.servedAgainMs
      if (ms !== null) return ms
      if (performance.now() - mark.sinceMs > msMax)
        throw new Error(`not served for ${msMax} ms: ${mark.unserved.join(', ')}; ${this.#found()}`)
      await sleep(LOOK_MS)
    }
  }

  /** The grant ends by itself, and not before `notBefore` (of the wall clock), as the watchers are told. */
  async endsByItself(grant: Grant, notBefore: number, msMax = 60_000): Promise<void> {
    const [watcher] = this.#watchers
    const untilMs = performance.now() + msMax
    while (!watcher?.ended.has(grant.token)) {
      if (performance.now() > untilMs)
        return this.judge.violated(`${grant.name}: nobody renews it, and it does not end`)
      await sleep(LOOK_MS)
    }
    const { type, at } = watcher.ended.get(grant.token)!
    if (type !== 'expired') this.judge.violated(`${grant.name} ended as ${type}`)
    if (at < notBefore - LABEL_MS)
      this.judge.violated(`${grant.name}: it ended ${notBefore - at} ms before its full TTL was over`)
  }

  /** Stops everybody, compares what was told with what was done. @throws with all that was found to be wrong. */
  async end(): Promise<void> {
    this.#isOver = true
    await Promise.race([Promise.all(this.#work), sleep(30_000).then(() => this.judge.violated('a worker never ended'))])
    const untilMs = performance.now() + ARRIVAL_MS_MAX
    while (!this.#watchers.every(watcher => watcher.isComplete) && performance.now() < untilMs) await sleep(LOOK_MS)
    await Promise.all(this.#watchers.map(watcher => watcher.stop()))
    for (const watcher of this.#watchers) watcher.compare()
    await this.abandon()
    this.judge.verdict()
  }

  /** Lets go of everything: a test that has failed must end. */
  async abandon(): Promise<void> {
    this.#isOver = true
    await Promise.all([...this.#clients, ...this.#lineClients].map(client => client.close()))
  }

  get #port() {
    return { judge: this.judge, figures: this.figures, isOver: () => this.#isOver }
  }

  /**
   * Each begins its list elsewhere, so that they are spread over the servers. The library goes to the server that decides if it is on its list;
   * every other client knows them under another name, and so stays where it is and has its requests forwarded.
   */
  #client(name: string, place: number): Holdfast {
    const { ttlMs } = this.#options
    const isForwarded = this.#connected++ % 2 === 1
    const urls = this.#options.urls.map(url => (isForwarded ? url.replace('127.0.0.1', 'localhost') : url))
    const from = place % urls.length
    return connect({
      url: [...urls.slice(from), ...urls.slice(0, from)],
      apiKey: rootKey,
      name,
      ...(ttlMs !== undefined && { ttlMs }),
    })
  }

  async #watch(): Promise<void> {
    for (const place of this.#options.urls.keys()) {
      const client = this.#client(`watcher/${place}`, place)
      this.#clients.push(client)
      this.#watchers.push(new Watcher(`watcher ${place}`, client, this.judge, PREFIX))
    }
    const probe = this.#client('probe', 0)
    this.#clients.push(probe)
    // A watch begins at some moment; what happens before it is not its to tell.
    while (!this.#watchers.every(watcher => watcher.count > 0)) {
      const lock = await probe.acquire(`${PREFIX}probe`)
      await lock.release()
      await sleep(LOOK_MS)
    }
  }

  async #begin(): Promise<void> {
    const port = this.#port
    const add = (work: Promise<void>) => {
      this.#work.push(work.catch((error: unknown) => this.judge.violated(`a worker has failed: ${error}`)))
    }
    for (let place = 0; place < OWN_CLIENTS; place++) {
      const client = this.#client(`own/${place}`, place)
      this.#clients.push(client)
      for (let index = 0; index < OWN_LOCKS_EACH; index++)
        add(cycle(port, client, { name: `${PREFIX}own/${place}/${index}`, ...OWN }))
    }
    for (let place = 0; place < CONVOY_CLIENTS; place++) {
      const client = this.#client(`convoy/${place}`, place)
      this.#clients.push(client)
      for (let convoy = 0; convoy < CONVOYS; convoy++)
        add(cycle(port, client, { name: `${PREFIX}convoy/${convoy}`, ...CONVOY }))
      this.#lineClients.push(this.#client(`line/${place}`, place))
    }
    const holder = this.#client('holder', 1)
    this.#clients.push(holder)
    for (let index = 0; index < HELD; index++) add(hold(port, holder, `${PREFIX}held/${index}`))
    for (let index = 0; index < RENEWED; index++) {
      const ttlMs = this.#options.renewedTtlMs ?? RENEWED_TTL_MS
      const grant = await holdByHand(this.anybody, `${PREFIX}renewed/${index}`, ttlMs)
      const anybody = new Anybody(this.#options.urls.toReversed())
      add(renewByHand(port, anybody, grant))
    }
  }

  #found(): string {
    try {
      this.judge.verdict()
      return 'nothing else is wrong'
    } catch (error) {
      return String(error)
    }
  }
}
