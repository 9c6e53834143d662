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
/** The same after one that was of no use: a server that is not to be had from here costs us nothing then. */
const MOVE_AGAIN_MS_MIN = 60_000
/** All clients of an instance hear at once that its owner is another one now. Where they are they are served meanwhile. */
const MOVE_SPREAD_MS = 20_000

export type ConnectionListener = {
  /** The transport is open: say hello. */
  opened(): void
  received(text: string): void
  /** Another server takes this connection's place; `opened` follows. Of what was handed over to the one before no answer will come. */
  moved(): void
  /** The other server is not to be had: it goes on where it is. */
  stayed(): void
  /** Nothing that was handed over and not answered is known to have arrived. Another attempt follows by itself. */
  lost(why: string): void
}

type State = 'idle' | 'pausing' | 'connecting' | 'greeting' | 'open' | 'closed'

export class Connection {
  /** Of servers of one service, tried in turn: each knows what the others know. */
  readonly #urls: readonly string[]
  #place = 0
  #mayMoveAtMs = Number.NEGATIVE_INFINITY
  /** Where it is about to go. */
  #next: { transport: Transport; place: number } | null = null
  #cancelMove: Cancel = () => {}
  /** It has gone there, and has not been welcomed yet. */
  #isArriving = false
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
    if (this.#isArriving) this.#mayMoveAtMs = this.#openedAtMs + MOVE_MS_MIN
    this.#isArriving = false
  }

  /** Gives this transport up and connects again. */
  drop(why: string): void {
    const transport = this.#transport
    if (!transport) return
    this.#lose(transport, why)
    transport.close()
  }

  /**
   * Goes on at this one of the servers, if it may: not twice in a short time, and only if it is one that we were told of at first. What is there
   * stays until the other is reached, and if it is not. Returns whether that is tried: `moved` or `stayed` follows, if nothing is lost meanwhile.
   */
  moveTo(url: string): boolean {
    this.#stopMoving()
    const nowMs = this.#clock.monotonicMs()
    if (!this.#isElsewhere(url) || this.#state !== 'open' || nowMs < this.#mayMoveAtMs) return false
    // Until it is known to have been of use.
    this.#mayMoveAtMs = nowMs + MOVE_AGAIN_MS_MIN
    this.#cancelMove = this.#clock.after(GREETING_OF_MANY_MS_MAX, () => this.#stay())
    const place = this.#urls.indexOf(url)
    this.#next = { transport: this.#open(url), place }
    return true
  }

  /** Soon, and not with everybody else who is told the same. null: it is where it should be. */
  moveSoonTo(url: string | null): void {
    // Whoever waits for where it goes on is told.
    if (this.#next) this.#stay()
    else this.#stopMoving()
    if (url === null || !this.#isElsewhere(url)) return
    const waitMs = Math.max(0, this.#mayMoveAtMs - this.#clock.monotonicMs())
    this.#cancelMove = this.#clock.after(waitMs + this.#random.fraction() * MOVE_SPREAD_MS, () => this.moveTo(url))
  }

  #isElsewhere(url: string): boolean {
    return this.#urls.includes(url) && this.#urls[this.#place % this.#urls.length] !== url
  }

  #stopMoving(): void {
    this.#cancelMove()
    const next = this.#next
    this.#next = null
    next?.transport.close()
  }

  #stay(): void {
    this.#stopMoving()
    this.#listener.stayed()
  }

  #move({ transport, place }: { transport: Transport; place: number }): void {
    this.#cancelMove()
    this.#next = null
    const before = this.#transport
    this.#transport = transport
    // No longer current: that it closes is no loss.
    before?.close()
    this.#place = place
    this.#isArriving = true
    this.#state = 'greeting'
    this.#awaitWelcome()
    this.#listener.moved()
    this.#listener.opened()
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
    this.#stopMoving()
    const transport = this.#transport
    // No longer current: that it closes is no loss.
    this.#transport = null
    transport?.close()
  }

  #connect(): void {
    this.#state = 'connecting'
    this.#awaitWelcome()
    this.#transport = this.#open(this.#urls[this.#place % this.#urls.length]!)
  }

  #awaitWelcome(): void {
    this.#cancelTimer()
    const greetingMs = this.#urls.length > 1 ? GREETING_OF_MANY_MS_MAX : GREETING_MS_MAX
    this.#cancelTimer = this.#clock.after(greetingMs, () => this.drop('the server did not answer in time'))
  }

  #open(url: string): Transport {
    const transport = this.#openTransport(url, {
      opened: () => {
        if (this.#next?.transport === transport) return this.#move(this.#next)
        if (this.#transport !== transport) return
        this.#state = 'greeting'
        this.#listener.opened()
      },
      received: text => {
        if (this.#transport === transport) this.#listener.received(text)
      },
      closed: why => {
        if (this.#next?.transport === transport) this.#stay()
        else this.#lose(transport, why)
      },
    })
    return transport
  }

  #lose(transport: Transport, why: string): void {
    if (this.#transport !== transport) return
    const wasStable = this.#state === 'open' && this.#clock.monotonicMs() - this.#openedAtMs >= STABLE_MS
    this.#stopMoving()
    this.#isArriving = false
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
