/**
 * One connection that is always there, as far as that goes: it opens when first needed, and when it is lost it is opened again, at
 * once the first time, then after growing pauses drawn by chance, so that a service that comes back is not met by everybody at once.
 * It knows nothing of locks. Losing it loses nothing: the session lives on at the server until its TTL has passed.
 */
import type { Cancel, Clock } from './clock.ts'
import type { Random } from './random.ts'
import type { OpenTransport, Transport } from './transport.ts'
import { unreachable } from './unreachable.ts'

const BACKOFF_MS_MIN = 100
const BACKOFF_MS_MAX = 5_000
/** The same where each attempt goes to another server: one of them may be of use at any moment. */
const BACKOFF_OF_MANY_MS_MAX = 2_000
/** A connection that lasted this long has worked: the next reconnect is immediate again. */
const STABLE_MS = 1_000
/** From the start of an attempt to the server's welcome; shorter when there is another server to try. */
const GREETING_MS_MAX = 5_000
const GREETING_OF_MANY_MS_MAX = 2_000
/** Owners change, and servers may not agree at once on who it is. */
const MOVE_MS_MIN = 10_000

export type ConnectionListener = {
  /** The transport is open: say hello. */
  opened(): void
  received(text: string): void
  /** Nothing that was handed over and not answered is known to have arrived. Another attempt follows by itself. */
  lost(why: string): void
}

type State = 'idle' | 'pausing' | 'connecting' | 'greeting' | 'open' | 'closed'

export class Connection {
  /** Of servers of one service, tried in turn: each knows what the others know. */
  readonly #urls: readonly string[]
  #place = 0
  #movedAtMs = Number.NEGATIVE_INFINITY
  /** Why the last attempt or connection ended. */
  lastFailure = ''
  readonly #openTransport: OpenTransport
  readonly #clock: Clock
  readonly #random: Random
  readonly #listener: ConnectionListener
  #state: State = 'idle'
  #transport: Transport | null = null
  #failures = 0
  #openedAtMs = 0
  #cancelTimer: Cancel = () => {}

  constructor(parts: {
    urls: readonly string[]
    openTransport: OpenTransport
    clock: Clock
    random: Random
    listener: ConnectionListener
  }) {
    this.#urls = parts.urls
    this.#openTransport = parts.openTransport
    this.#clock = parts.clock
    this.#random = parts.random
    this.#listener = parts.listener
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /** Why there is no answer, and what to do about it. `address`: as people know it. */
  whyUnanswered(address: string): string {
    if (this.isOpen) return 'The service did not answer in time; the outcome is unknown.'
    return unreachable(address, this.lastFailure)
  }

  /** Begins to connect, unless it has. */
  start(): void {
    if (this.#state === 'idle') this.#connect()
  }

  send(text: string): void {
    this.#transport?.send(text)
  }

  /** The server has welcomed us. */
  greeted(): void {
    if (this.#state !== 'greeting') return
    this.#cancelTimer()
    this.#state = 'open'
    this.#openedAtMs = this.#clock.monotonicMs()
  }

  /** Gives this transport up and connects again. */
  drop(why: string): void {
    const transport = this.#transport
    if (!transport) return
    this.#lose(transport, why)
    transport.close()
  }

  /** Goes on at this one of the servers, if it may: not twice in a short time, and only if it is one that we were told of at first. */
  moveTo(url: string): boolean {
    const place = this.#urls.indexOf(url)
    const nowMs = this.#clock.monotonicMs()
    const isThere = this.#urls[this.#place % this.#urls.length] === url
    if (place < 0 || isThere || this.#state !== 'open' || nowMs - this.#movedAtMs < MOVE_MS_MIN) return false
    this.#movedAtMs = nowMs
    const transport = this.#transport
    // No longer current: that it closes is no loss.
    this.#transport = null
    transport?.close()
    this.#place = place
    this.#connect()
    return true
  }

  /** Gives the transport up and stays idle until the next `start`. */
  rest(why: string): void {
    this.drop(why)
    this.#cancelTimer()
    if (this.#state !== 'closed') this.#state = 'idle'
  }

  close(): void {
    this.#state = 'closed'
    this.#cancelTimer()
    const transport = this.#transport
    // No longer current: that it closes is no loss.
    this.#transport = null
    transport?.close()
  }

  #connect(): void {
    this.#state = 'connecting'
    this.#cancelTimer()
    const greetingMs = this.#urls.length > 1 ? GREETING_OF_MANY_MS_MAX : GREETING_MS_MAX
    this.#cancelTimer = this.#clock.after(greetingMs, () => this.drop('the server did not answer in time'))
    let transport: Transport | null = null
    const isCurrent = () => transport !== null && this.#transport === transport
    transport = this.#openTransport(this.#urls[this.#place % this.#urls.length]!, {
      opened: () => {
        if (!isCurrent()) return
        this.#state = 'greeting'
        this.#listener.opened()
      },
      received: text => {
        if (isCurrent()) this.#listener.received(text)
      },
      closed: why => {
        if (isCurrent() && transport) this.#lose(transport, why)
      },
    })
    this.#transport = transport
  }

  #lose(transport: Transport, why: string): void {
    if (this.#transport !== transport) return
    const wasStable = this.#state === 'open' && this.#clock.monotonicMs() - this.#openedAtMs >= STABLE_MS
    this.#transport = null
    this.#cancelTimer()
    this.#failures = wasStable ? 0 : this.#failures + 1
    this.#place++
    this.#state = 'pausing'
    this.lastFailure = why
    this.#cancelTimer = this.#clock.after(this.#pauseMs(), () => this.#connect())
    this.#listener.lost(why)
  }

  /** Full jitter: anywhere between at once and the pause that has grown so far. */
  #pauseMs(): number {
    // How often all of them have failed.
    const rounds = Math.ceil(this.#failures / this.#urls.length)
    if (this.#failures < this.#urls.length) return 0
    const msMax = this.#urls.length > 1 ? BACKOFF_OF_MANY_MS_MAX : BACKOFF_MS_MAX
    return this.#random.fraction() * Math.min(msMax, BACKOFF_MS_MIN * 2 ** Math.min(rounds - 1, 16))
  }
}
