/**
 * Hints that something under a prefix has changed. etcd's watches have lost, repeated and held back events, and hung on half-open
 * connections, so nothing here is believed: an event is a hint, a new connection is a hint, and who needs to know looks for himself
 * from time to time. All that is promised is that a watch which has gone silent is opened again.
 */
import type { Clock } from '../../clock.ts'
import type { ReplyOf } from './calls.ts'
import type { EtcdClient } from './client.ts'
import { EtcdError, kindOf, toEtcdError } from './errors.ts'

/** How often a quiet member is asked whether it is still there; it must have said something by the next time. */
const ASK_MS = 10_000
/** Between a watch that has ended and the next. */
const REOPEN_MS = 250

type Reply = ReplyOf<'watch'>

export type WatchOptions = {
  client: EtcdClient
  clock: Clock
  range: { key: Buffer; rangeEnd: Buffer }
  signal: AbortSignal
  askMs?: number
  onHeader(header: Reply['header']): void
  onTrouble(error: unknown): void
}

export async function* watchHints(options: WatchOptions): AsyncIterable<void> {
  const { signal } = options
  const news = new News()
  const follower = new Follower(options, () => news.tell())
  const stop = () => news.end()
  signal.addEventListener('abort', stop)
  if (signal.aborted) stop()
  try {
    follower.open()
    while (await news.wait()) yield
  } finally {
    signal.removeEventListener('abort', stop)
    follower.close()
  }
}

/** Many tellings before somebody listens are one. */
class News {
  #isNew = false
  #isOver = false
  #wake: () => void = () => undefined

  tell(): void {
    this.#isNew = true
    this.#wake()
  }

  end(): void {
    this.#isOver = true
    this.#wake()
  }

  /** false: it has ended. */
  async wait(): Promise<boolean> {
    while (!this.#isNew && !this.#isOver) await new Promise<void>(resolve => (this.#wake = resolve))
    this.#isNew = false
    return !this.#isOver
  }
}

type Opened = Awaited<ReturnType<EtcdClient['openWatch']>>

/** One watch after another. */
class Follower {
  readonly #options: WatchOptions
  readonly #tell: () => void
  #opened: Opened | null = null
  #hasHeard = false
  #isOver = false
  #stopTimer: () => void = () => undefined

  constructor(options: WatchOptions, tell: () => void) {
    this.#options = options
    this.#tell = tell
  }

  open(): void {
    this.#open().catch(error => this.#again(error))
  }

  close(): void {
    this.#isOver = true
    this.#stopTimer()
    this.#opened?.stream.cancel()
  }

  async #open(): Promise<void> {
    const { client, range } = this.#options
    const opened = await client.openWatch()
    const { stream, url } = opened
    this.#opened = opened
    stream.on('data', (reply: Reply) => this.#heard(opened, reply))
    stream.on('error', error => this.#lost(opened, toEtcdError(error, url)))
    stream.on('end', () => this.#lost(opened, new EtcdError('unknown', url, 'the watch has ended')))
    if (this.#isOver) return stream.cancel()
    // From now on: what was before is what the first hint is for, so nothing compacted is ever asked for.
    stream.write({ createRequest: range })
    this.#hasHeard = false
    this.#askLater(opened)
  }

  #heard(opened: Opened, reply: Reply): void {
    if (opened !== this.#opened) return
    this.#hasHeard = true
    this.#options.onHeader(reply.header)
    if (reply.canceled) {
      this.#lost(opened, new EtcdError(kindOf(reply.cancelReason), opened.url, `watch: ${reply.cancelReason}`))
    } else if (reply.created || reply.events.length > 0) this.#tell()
  }

  #askLater(opened: Opened): void {
    const { clock, askMs = ASK_MS } = this.#options
    this.#stopTimer = clock.after(askMs, () => {
      if (!this.#hasHeard)
        return this.#lost(opened, new EtcdError('timed_out', opened.url, 'the watch has gone silent'))
      this.#hasHeard = false
      opened.stream.write({ progressRequest: {} })
      this.#askLater(opened)
    })
  }

  #lost(opened: Opened, error: EtcdError): void {
    if (opened !== this.#opened) return
    this.#opened = null
    this.#stopTimer()
    opened.stream.cancel()
    const { client } = this.#options
    // A member without a leader, or that is stopped, may still be asked by others: only they can tell whether it is good.
    if (error.kind === 'timed_out' || error.kind === 'unknown') client.shun(error.endpoint)
    if (error.kind === 'stale_token' || error.kind === 'permission_denied') client.forgetToken()
    this.#again(error)
  }

  #again(error: unknown): void {
    if (this.#isOver) return
    this.#options.onTrouble(error)
    // Something may have happened that nobody will tell.
    this.#tell()
    this.#stopTimer = this.#options.clock.after(REOPEN_MS, () => this.open())
  }
}
