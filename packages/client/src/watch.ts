/**
 * Watching: the events of all locks under a prefix, in order, none missing, as an async iterable. Over a lost connection it goes on after the
 * last event that was seen. When the service no longer has what comes next, it says so with a `reset` instead of skipping in silence.
 */
import { toCamel } from '@holdfast/protocol/casing'
import type { HoldfastError, WireError } from '@holdfast/protocol/errors'
import type { ClientRequest } from '@holdfast/protocol/frame'
import { errorOf } from './errors.ts'
import type { Names } from './option-names.ts'
import { PlainRequest } from './requests.ts'
import type { Session, Watcher, WatchMessage } from './session.ts'
import type { LockEvent } from './views.ts'

export type WatchOptions = {
  /** All locks whose name begins so. Default: all that may be seen. */
  prefix?: string
  /** One lock alone. */
  name?: string
  /** The id of an event: begin after it. Default: now. */
  after?: string
  /** Ends the iteration; it returns without an error. */
  signal?: AbortSignal
}

export const watchNames: Names<WatchOptions> = { prefix: true, name: true, after: true, signal: true }

/** Events have been missed: look at the locks afresh. The next event comes after `cursor`. */
export type WatchReset = { type: 'reset'; cursor: string }
export type WatchItem = LockEvent | WatchReset

/** Unread items above this are not taken in: the watch pauses, and goes on from the last one when they have been read. */
export const UNREAD_ITEMS_MAX = 10_000
/** A watch that could not be resumed is asked for again after this, besides the time that the asking took. */
const AGAIN_MS = 1_000

export function watch(session: Session, options: WatchOptions): AsyncIterableIterator<WatchItem> & AsyncDisposable {
  const subscription = new Subscription(session, options)
  return {
    next: () => subscription.next(),
    return: async () => {
      subscription.end(null)
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]() {
      return this
    },
    async [Symbol.asyncDispose]() {
      subscription.end(null)
    },
  }
}

type Reader = { resolve: (result: IteratorResult<WatchItem>) => void; reject: (error: unknown) => void }

class Subscription implements Watcher {
  readonly #session: Session
  readonly #options: WatchOptions
  #cursor: string | undefined
  #watchId = 0
  #hasBegun = false
  #cancelTimer = () => {}
  #unread: WatchItem[] = []
  #readers: Reader[] = []
  #state: 'asking' | 'watching' | 'paused' | 'ended' = 'paused'
  #failure: { error: unknown } | null = null

  constructor(session: Session, options: WatchOptions) {
    this.#session = session
    this.#options = options
    this.#cursor = options.after
    if (options.signal?.aborted) this.#state = 'ended'
    else {
      options.signal?.addEventListener('abort', this.#aborted)
      session.watchers.add(this)
      this.#ask()
    }
  }

  readonly #aborted = () => this.end(null)

  #ask(): void {
    this.#state = 'asking'
    const body: Extract<ClientRequest, { type: 'watch' }> = { id: 0, type: 'watch' }
    if (this.#options.prefix !== undefined && this.#options.prefix !== '') body.prefix = this.#options.prefix
    if (this.#options.name !== undefined) body.name = this.#options.name
    if (this.#cursor !== undefined) body.after = this.#cursor
    const request = new PlainRequest<{ cursor: string }>(body, {
      survives: true,
      resolve: ({ cursor }) => this.#began(cursor, request.id),
      reject: error => this.#unanswered(error, request.id),
    })
    this.#session.submit(request)
    this.#watchId = request.id
    this.#session.watches.set(request.id, message => this.#received(message))
  }

  #began(cursor: string, watchId: number): void {
    if (this.#state === 'ended') this.#stop(watchId)
    if (this.#state !== 'asking' || watchId !== this.#watchId) return
    this.#state = 'watching'
    this.#hasBegun = true
    this.#cursor ??= cursor
  }

  /** Who asks for the first time is told that nobody answers; a watch that has begun is resumed when somebody does. */
  #unanswered(error: HoldfastError, watchId: number): void {
    if (this.#state !== 'asking' || watchId !== this.#watchId) return void this.#session.watches.delete(watchId)
    if (!this.#hasBegun || error.code !== 'unavailable') return this.end({ error })
    this.#session.watches.delete(watchId)
    this.#state = 'paused'
    this.#cancelTimer = this.#session.clock.after(AGAIN_MS, () => this.opened())
  }

  /** A new connection: the watch of the old one is gone; an unanswered request for one is sent again by itself. */
  opened(): void {
    if (this.#state === 'paused' && this.#unread.length < UNREAD_ITEMS_MAX) this.#ask()
  }

  lost(): void {
    if (this.#session.isClosed) this.end(null)
    if (this.#state !== 'watching') return
    this.#session.watches.delete(this.#watchId)
    this.#state = 'paused'
  }

  /** The service does not let this client in any more. */
  refused(error: HoldfastError): void {
    this.end({ error })
  }

  #received(message: WatchMessage): void {
    if (this.#state === 'ended') return
    if (message.type === 'ended') return this.#over(message.error)
    this.#cursor = message.type === 'event' ? message.event.id : message.cursor
    const item: WatchItem =
      message.type === 'event' ? toCamel(message.event) : { type: 'reset', cursor: message.cursor }
    const reader = this.#readers.shift()
    if (reader) return reader.resolve({ done: false, value: item })
    this.#unread.push(item)
    if (this.#unread.length < UNREAD_ITEMS_MAX || this.#state !== 'watching') return
    this.#state = 'paused'
    this.#stop(this.#watchId)
  }

  /** The service has ended it. */
  #over(error: WireError): void {
    this.#session.watches.delete(this.#watchId)
    if (this.#state !== 'watching') return
    this.#state = 'paused'
    if (error.code !== 'unavailable') this.end({ error: errorOf(error) })
    else if (this.#unread.length < UNREAD_ITEMS_MAX) this.#ask()
  }

  #stop(watchId: number): void {
    this.#session.watches.delete(watchId)
    if (this.#session.isClosed || !this.#session.isOpen) return
    // That it is gone already is what was wanted.
    const done = () => {}
    this.#session.submit(
      new PlainRequest({ id: 0, type: 'unwatch', watch: watchId }, { survives: false, resolve: done, reject: done }),
    )
  }

  next(): Promise<IteratorResult<WatchItem>> {
    const item = this.#unread.shift()
    if (item) {
      if (this.#unread.length === 0 && this.#state === 'paused' && this.#session.isOpen) this.#ask()
      return Promise.resolve({ done: false, value: item })
    }
    if (this.#state === 'ended') {
      const failure = this.#failure
      this.#failure = null
      return failure ? Promise.reject(failure.error) : Promise.resolve({ done: true, value: undefined })
    }
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }))
  }

  /** `failure`: what the one who reads next is told. */
  end(failure: { error: unknown } | null): void {
    if (this.#state === 'ended') return
    const wasWatching = this.#state === 'watching'
    this.#state = 'ended'
    this.#cancelTimer()
    this.#options.signal?.removeEventListener('abort', this.#aborted)
    this.#session.watchers.delete(this)
    if (wasWatching) this.#stop(this.#watchId)
    const [first, ...others] = this.#readers
    this.#readers = []
    if (first && failure) first.reject(failure.error)
    else {
      this.#failure = failure
      first?.resolve({ done: true, value: undefined })
    }
    for (const reader of others) reader.resolve({ done: true, value: undefined })
  }
}
