/**
 * One client with the real library, and an observer in it: each time its belief in what it holds changes, that is written down with the real time. It
 * looks at the library's own ledger, by which its users go; nothing is changed in what the library does.
 */
import { setTimeout as pass } from 'node:timers/promises'
import { systemClock } from '../../../packages/client/src/clock.ts'
import { Credential, withCredential } from '../../../packages/client/src/credential.ts'
import { Holdfast } from '../../../packages/client/src/holdfast.ts'
import type { Holding } from '../../../packages/client/src/holding.ts'
import type { Lock } from '../../../packages/client/src/lock.ts'
import { sessionOptionsOf } from '../../../packages/client/src/options.ts'
import { systemRandom } from '../../../packages/client/src/random.ts'
import { Rest } from '../../../packages/client/src/rest.ts'
import { Session } from '../../../packages/client/src/session.ts'
import { platformTasks } from '../../../packages/client/src/task.ts'
import { webSocketTransport } from '../../../packages/client/src/transport.ts'
import { rootKey } from '../../harness/server.ts'
import type { Client } from '../../simulator/workload.ts'
import type { History } from './history.ts'

export type ClientOptions = {
  name: string
  instance: string
  ttlMs: number
  urls: readonly string[]
  history: History
  /** How fast this process's clock runs, for what is written in real time. */
  rate: number
  opened(client: ChaosClient): void
}

/** Belief that has moved by less is not worth a line. */
const MOVED_MS = 20

export class ChaosClient implements Client {
  readonly name: string
  readonly options: ClientOptions
  session: Session
  holdfast: Holdfast
  #sessions = 0
  #by = ''
  readonly #believed = new Set<Holding>()

  constructor(options: ClientOptions) {
    this.options = options
    this.name = options.name
    const { session, holdfast } = this.#open()
    this.session = session
    this.holdfast = holdfast
    options.opened(this)
  }

  reopen(): void {
    Object.assign(this, this.#open())
    this.options.opened(this)
  }

  async sleep(ms: number): Promise<void> {
    await pass(ms)
  }

  /** It has just been handed the lock, or believes in it again. */
  began(lock: Lock): void {
    const { history, rate } = this.options
    const { token, mode, name } = lock
    const holding = this.session.ledger.holdings.get(token)
    const isBelieved = holding !== undefined && lock.isHeld
    const limitMs = isBelieved ? holding.limitMs(systemClock().now()) : 0
    const limit = Number.isFinite(limitMs) ? history.nowMs() + limitMs / rate : null
    const by = this.#by
    if (isBelieved) this.#tellUntil(this.session, { isForced: true })
    history.tell({ e: 'grant', lock: name, token, mode, slots: [...lock.slots], by, limit })
    if (!isBelieved) return
    this.#believed.add(holding)
    this.#watchSuspension(holding)
    lock.on('preempting', () => {
      history.tell({ e: 'limit', by, lock: name, token, until: history.nowMs() + lock.validForMs() / rate })
    })
  }

  #open(): { session: Session; holdfast: Holdfast } {
    const { urls, ttlMs, name, instance } = this.options
    const options = { url: urls, apiKey: rootKey, ttlMs, name, instance }
    const credential = new Credential(rootKey)
    const session = new Session(sessionOptionsOf(options, credential), {
      openTransport: withCredential(webSocketTransport(globalThis.WebSocket), credential),
      clock: systemClock(),
      random: systemRandom,
      tasks: platformTasks(),
    })
    this.#by = `${name}/${++this.#sessions}`
    this.#observe(session, this.#by)
    const rest = new Rest({ urls: [...urls], credential, instance, fetch: globalThis.fetch, clock: systemClock() })
    return { session, holdfast: new Holdfast(session, rest) }
  }

  readonly #until = new WeakMap<Session, number>()

  #observe(session: Session, by: string): void {
    const { ledger } = session
    const { history } = this.options
    const { belief } = ledger
    const confer = belief.confer.bind(belief)
    belief.confer = (proof, now) => {
      const isConferred = confer(proof, now)
      if (isConferred) this.#tellUntil(session, { by })
      return isConferred
    }
    const forget = ledger.forget.bind(ledger)
    ledger.forget = holding => {
      if (this.#believed.delete(holding)) history.tell({ e: 'over', lock: holding.name, token: holding.token, by })
      forget(holding)
    }
  }

  #tellUntil(session: Session, { by = this.#by, isForced = false }: { by?: string; isForced?: boolean } = {}): void {
    const { history, rate } = this.options
    const remainingMs = session.ledger.belief.remainingMs(systemClock().now())
    const until = history.nowMs() + remainingMs / rate
    if (!isForced && Math.abs(until - (this.#until.get(session) ?? 0)) < MOVED_MS) return
    this.#until.set(session, until)
    history.tell({ e: 'until', by, until })
  }

  /** While it is being handed over it is not believed in; refused, it is again, and its worker says so. */
  #watchSuspension(holding: Holding): void {
    const { history } = this.options
    const by = this.#by
    let isSuspended = holding.isSuspended
    Object.defineProperty(holding, 'isSuspended', {
      configurable: true,
      get: () => isSuspended,
      set: (value: boolean) => {
        isSuspended = value
        if (value && this.#believed.delete(holding))
          history.tell({ e: 'over', lock: holding.name, token: holding.token, by })
      },
    })
  }
}
