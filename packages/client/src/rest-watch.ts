/**
 * Watching over REST, as server-sent events: for whoever may watch and open no session. A connection for each watch; over a lost one it goes on after the
 * last event that was seen, at whichever server answers.
 */
import { toCamel } from '@holdfast/protocol/casing'
import type { Clock } from './clock.ts'
import { HoldfastError, hasCode, UnavailableError } from './errors.ts'
import { whyOf } from './unreachable.ts'
import type { LockEvent } from './views.ts'
import type { WatchItem, WatchOptions } from './watch.ts'

/** Three of the service's signs of life: who has sent nothing for so long has gone without a word. */
export const SILENCE_MS_MAX = 45_000
/** Of one event, or of what is taken for one: far more than any has. */
export const EVENT_CHARS_MAX = 1024 * 1024
const AGAIN_MS = 1_000

export type EventSource = {
  /** Resolves with an answer that is a success. @throws HoldfastError `unavailable`: nobody has answered. */
  open(
    path: string,
    call: { query: { prefix?: string }; headers: Record<string, string>; signal: AbortSignal },
  ): Promise<Response>
  clock: Clock
}

type Message = { id: string | null; type: string; data: string }

/** @throws what the service refuses it with, then or later; and `unavailable` if nobody has answered the first time. */
export function eventsOverRest(
  source: EventSource,
  options: WatchOptions,
): AsyncIterableIterator<WatchItem> & AsyncDisposable {
  const over = new AbortController()
  const abort = () => over.abort()
  if (options.signal?.aborted) abort()
  options.signal?.addEventListener('abort', abort)
  const forget = () => options.signal?.removeEventListener('abort', abort)
  const items = andThen(untilAborted(source, { ...options, signal: over.signal }), forget)
  const end = async () => {
    forget()
    // Who waits for the next item, which may never come, is told as well: a generator that waits hears of its end too late.
    abort()
    await items.return(undefined)
  }
  return {
    next: () => items.next(),
    return: async () => {
      await end()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]() {
      return this
    },
    [Symbol.asyncDispose]: end,
  }
}

/** However they end: who is refused may try again for days, under the same signal. */
async function* andThen<Item>(
  items: AsyncGenerator<Item, undefined>,
  over: () => void,
): AsyncGenerator<Item, undefined> {
  try {
    return yield* items
  } finally {
    over()
  }
}

async function* untilAborted(source: EventSource, options: WatchOptions): AsyncGenerator<WatchItem, undefined> {
  const { signal } = options
  let cursor = options.after
  let hasBegun = false
  while (!signal?.aborted) {
    const connection = new Connection(source, options)
    try {
      for await (const { id, type, data } of connection.messages(cursor)) {
        hasBegun = true
        if (id !== null) cursor = id
        // Why it was ended is told by whoever is asked to go on.
        if (type === 'ended') break
        if (type === 'reset') yield { type: 'reset', cursor: cursor ?? '' }
        // Trusted: it is the service's own.
        else if (type !== '') yield toCamel(JSON.parse(data)) as LockEvent
      }
    } catch (error) {
      if (signal?.aborted) return
      if (!hasBegun || !hasCode(error, 'unavailable')) throw error
    } finally {
      connection.close()
    }
    await pause(source.clock, signal)
  }
}

class Connection {
  readonly #source: EventSource
  readonly #options: WatchOptions
  readonly #controller = new AbortController()
  #cancelTimer = () => {}

  constructor(source: EventSource, options: WatchOptions) {
    this.#source = source
    this.#options = options
    options.signal?.addEventListener('abort', this.close)
  }

  readonly close = () => {
    this.#cancelTimer()
    this.#options.signal?.removeEventListener('abort', this.close)
    this.#controller.abort()
  }

  async *messages(cursor: string | undefined): AsyncGenerator<Message> {
    const { name, prefix } = this.#options
    const path = name === undefined ? '/v2/watch' : `/v1/locks/${encodeURIComponent(name)}/watch`
    const query = name === undefined && prefix !== undefined && prefix !== '' ? { prefix } : {}
    const headers = { accept: 'text/event-stream', ...(cursor !== undefined && { 'last-event-id': cursor }) }
    const response = await this.#source.open(path, { query, headers, signal: this.#controller.signal })
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    if (!reader) return
    let text = ''
    for (;;) {
      this.#heard()
      const { done, value } = await reader.read().catch((cause: unknown) => {
        throw new UnavailableError(`The watch was cut off: ${whyOf(cause)}.`, { cause })
      })
      this.#cancelTimer()
      // What is left is half an event, which comes again.
      if (done) return
      text += value
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        yield messageOf(text.slice(0, end))
        text = text.slice(end + 2)
      }
      if (text.length > EVENT_CHARS_MAX)
        throw new HoldfastError(
          'unavailable',
          `What was sent as an event is longer than ${EVENT_CHARS_MAX} characters: is it a Holdfast service?`,
        )
    }
  }

  /** Whoever reads slowly is not taken for a silent service: the time begins when there is something to wait for. */
  #heard(): void {
    this.#cancelTimer()
    this.#cancelTimer = this.#source.clock.after(SILENCE_MS_MAX, () => this.#controller.abort())
  }
}

function messageOf(text: string): Message {
  const message: Message = { id: null, type: '', data: '' }
  for (const line of text.split('\n')) {
    const [, field, value = ''] = /^(id|event|data): ?(.*)$/.exec(line) ?? []
    if (field === 'id') message.id = value
    if (field === 'event') message.type = value
    if (field === 'data') message.data = value
  }
  return message
}

function pause(clock: Clock, signal: AbortSignal | undefined): Promise<void> {
  return new Promise(resolve => {
    const cancel = clock.after(AGAIN_MS, done)
    signal?.addEventListener('abort', done, { once: true })
    function done() {
      cancel()
      signal?.removeEventListener('abort', done)
      resolve()
    }
  })
}
