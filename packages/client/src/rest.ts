/** The calls that need no session, over plain REST: looking, and what operators do. */
import { toCamel, toSnake } from '@holdfast/protocol/casing'
import type { WireError } from '@holdfast/protocol/errors'
import { type Clock, timeoutSignal } from './clock.ts'
import type { Credential } from './credential.ts'
import { errorOf, HoldfastError, hasCode, UnavailableError } from './errors.ts'
import type { StoredValue } from './lock.ts'
import { refuseUnknown } from './option-names.ts'
import { eventsOverRest } from './rest-watch.ts'
import { unreachable, whyOf } from './unreachable.ts'
import type {
  EndedGrants,
  Freeze,
  Identity,
  Leader,
  LockConfiguration,
  LockEvent,
  LockView,
  QueueView,
} from './views.ts'
import { type WatchItem, type WatchOptions, watchNames } from './watch.ts'

const ANSWER_MS_MAX = 15_000
/** The status of `unavailable`. */
const UNAVAILABLE = 503
/** A page of a listing: few round trips, small bodies. */
const PAGE_LIMIT = 200

type Call = {
  query?: Record<string, string | number | undefined>
  body?: object
  /** Beside those that every call has. */
  headers?: Record<string, string>
  /** Of an answer that has no end: ends it. Only its beginning has to come in time. */
  signal?: AbortSignal
  lock?: string
  patience?: number
}

export class Rest {
  readonly #urls: readonly string[]
  /** The server that is asked, until it fails. */
  #place = 0
  readonly #credential: Credential
  readonly #headers: Record<string, string>
  readonly #fetch: typeof fetch
  readonly #clock: Clock

  constructor(options: {
    urls: readonly string[]
    credential: Credential
    instance: string | undefined
    fetch: typeof fetch
    clock: Clock
  }) {
    this.#urls = options.urls
    this.#credential = options.credential
    this.#headers = options.instance === undefined ? {} : { 'holdfast-instance': options.instance }
    this.#fetch = options.fetch
    this.#clock = options.clock
  }

  /** Any call of the API: `body` and the answer in camelCase. Throws the error of the wire as its class. */
  async call<Answer>(method: string, path: string, call: Call = {}): Promise<Answer> {
    refuseSteps(path)
    const response = await this.#send(method, path, call)
    if (response.status === 204) return undefined as Answer // no body, and nobody asks for one
    const body = await this.#parse(response)
    // Trusted: it is the service's own, and the caller names what the operation answers.
    if (response.ok) return toCamel(body) as Answer
    throw errorOf(firstError(body, response.status), call.lock)
  }

  /**
   * Events, for whoever may watch and open no session: as `Holdfast.watch`, with a connection of its own. End it by leaving the loop, or by `signal`.
   */
  watch(options: WatchOptions = {}): AsyncIterableIterator<WatchItem> & AsyncDisposable {
    refuseUnknown('watch()', options, watchNames)
    const open = async (path: string, call: Call) => {
      const response = await this.#send('GET', path, call)
      if (response.ok) return response
      throw errorOf(firstError(await this.#parse(response), response.status), options.name)
    }
    return eventsOverRest({ open, clock: this.#clock }, options)
  }

  get #url(): string {
    // There is at least one.
    return this.#urls[this.#place % this.#urls.length]!
  }

  /** Reading may be tried at each server in turn; anything else only if it surely was not sent. */
  async #send(method: string, path: string, call: Call): Promise<Response> {
    for (let left = this.#urls.length - 1; ; left--) {
      const place = this.#place
      try {
        const response = await this.#sendOnce(method, path, call)
        if (response.status !== UNAVAILABLE || method !== 'GET' || left === 0) return response
      } catch (error) {
        this.#leave(place)
        if (left === 0 || (method !== 'GET' && !wasNotSent(error))) throw error
        continue
      }
      this.#leave(place)
    }
  }

  /** For the next one; other calls may have done so already, and be well served there. */
  #leave(place: number): void {
    if (this.#place === place) this.#place++
  }

  async #sendOnce(
    method: string,
    path: string,
    { query = {}, body, headers: more = {}, patience = ANSWER_MS_MAX, ...call }: Call,
  ): Promise<Response> {
    const url = new URL(`${this.#url}${path}`)
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value))
    await this.#credential.ask()
    const { authorization } = this.#credential
    const headers = { ...more, ...this.#headers, ...(authorization !== undefined && { authorization }) }
    // Not as a method of ours: a browser's own refuses to be called on anything but its window.
    const send = this.#fetch
    const content = body ? JSON.stringify(toSnake(body)) : null
    const typed = body ? { ...headers, 'content-type': 'application/json' } : headers
    const { signal, begun } = call.signal
      ? this.#untilBegun(call.signal, patience)
      : { signal: timeoutSignal(Math.ceil(patience)), begun: () => undefined }
    try {
      return await send(url, { method, headers: typed, body: content, signal })
    } catch (cause) {
      throw new UnavailableError(unreachable(this.#url, whyOf(cause)), { cause })
    } finally {
      begun()
    }
  }

  #untilBegun(signal: AbortSignal, patience: number): { signal: AbortSignal; begun(): void } {
    const controller = new AbortController()
    const begun = this.#clock.after(patience, () => controller.abort(new DOMException('', 'TimeoutError')))
    if (signal.aborted) controller.abort()
    signal.addEventListener('abort', () => controller.abort(), { once: true })
    return { signal: controller.signal, begun }
  }

  async #parse(response: Response): Promise<unknown> {
    const text = await response.text().catch((cause: unknown) => {
      throw new UnavailableError(unreachable(this.#url, `the answer was cut off: ${whyOf(cause)}`), { cause })
    })
    try {
      return JSON.parse(text)
    } catch (cause) {
      throw new HoldfastError(
        'unavailable',
        `${this.#url} answered ${response.status} with what is not JSON: is it a Holdfast service?`,
        { cause },
      )
    }
  }

  show(name: string): Promise<LockView> {
    return this.call('GET', lockPath(name), { lock: name })
  }

  queue(name: string): Promise<QueueView> {
    return this.call('GET', lockPath(name, 'queue'), { lock: name })
  }

  /** All locks under the prefix that are configured or in use, by name, page after page. */
  async *list(options: { prefix?: string } = {}): AsyncGenerator<LockView> {
    refuseUnknown('list()', options, { prefix: true })
    const { prefix } = options
    let start: string | undefined
    do {
      const query = { prefix: prefix === '' ? undefined : prefix, limit: PAGE_LIMIT, start }
      const page: { locks: LockView[]; next?: { start: string } } = await this.call('GET', '/v2/locks', { query })
      yield* page.locks
      start = page.next?.start
    } while (start !== undefined)
  }

  /** What has happened to the lock, newest first, as far as it is kept. */
  async *history(name: string, options: { limit?: number } = {}): AsyncGenerator<LockEvent> {
    refuseUnknown('history()', options, { limit: true })
    const { limit = Number.POSITIVE_INFINITY } = options
    let start: string | undefined
    let left = limit
    do {
      const query = { limit: Math.min(PAGE_LIMIT, left), start }
      const page: { events: LockEvent[]; next?: { start: string } } = await this.call(
        'GET',
        lockPath(name, 'history'),
        { query, lock: name },
      )
      yield* page.events.slice(0, left)
      left -= page.events.length
      start = page.next?.start
    } while (start !== undefined && left > 0)
  }

  async leader(name: string): Promise<Leader | null> {
    const election: { leader: Leader | null } = await this.call('GET', `/v2/elections/${encodeURIComponent(name)}`, {
      lock: name,
    })
    return election.leader
  }

  /** The value that the lock carries; null if none was ever written. */
  async value(name: string): Promise<StoredValue | null> {
    try {
      return await this.call<StoredValue>('GET', lockPath(name, 'value'), { lock: name })
    } catch (error) {
      if (hasCode(error, 'not_found')) return null
      throw error
    }
  }

  async validate(name: string, token: number): Promise<void> {
    await this.call('POST', lockPath(name, 'validate'), { body: { token }, lock: name })
  }

  whoami(): Promise<Identity> {
    return this.call('GET', '/v2/whoami')
  }

  // What operators do. Each is recorded with who did it and why.

  /** Ends the grants of the lock, or the one named by `token`. `now`: its holder may still believe that it holds it. */
  forceRelease(name: string, options: { reason: string; token?: number; now?: boolean }): Promise<EndedGrants> {
    return this.call('POST', lockPath(name, 'force-release'), { body: options, lock: name })
  }

  /** Tells the holders to clean up and go within the grace. */
  preempt(name: string, options: { reason: string; graceMs?: number; token?: number }): Promise<EndedGrants> {
    return this.call('POST', lockPath(name, 'preempt'), { body: options, lock: name })
  }

  /** Lets nobody acquire what begins with the prefix until then. Who holds, holds on. */
  async freeze(prefix: string, options: { until: Date; reason: string }): Promise<Freeze> {
    refuseUnknown('freeze()', options, { until: true, reason: true })
    const { until, reason } = options
    return this.call('POST', '/v2/freezes', { body: { prefix, until: until.toISOString(), reason } })
  }

  async thaw(prefix: string): Promise<void> {
    await this.call('DELETE', '/v2/freezes', { query: { prefix } })
  }

  async freezes(): Promise<Freeze[]> {
    const answer: { freezes: Freeze[] } = await this.call('GET', '/v2/freezes')
    return answer.freezes
  }

  configure(name: string, configuration: LockConfiguration): Promise<LockView> {
    return this.call('PUT', lockPath(name), { body: configuration, lock: name })
  }

  async deleteConfiguration(name: string): Promise<void> {
    await this.call('DELETE', lockPath(name), { lock: name })
  }
}

function lockPath(name: string, what = ''): string {
  return `/v2/locks/${encodeURIComponent(name)}${what === '' ? '' : `/${what}`}`
}

/** Every URL parser takes two names for a step in the path, their `%2E` too: another thing would be meant, or all of them. */
function refuseSteps(path: string): void {
  const step = path.split('/').find(segment => segment === '.' || segment === '..')
  if (step === undefined) return
  const message = `No URL can name \`${step}\`: this platform takes it for a step in the path. \`curl --path-as-is\` can.`
  throw new HoldfastError('invalid_request', message)
}

function firstError(body: unknown, status: number): WireError {
  // The error body of the API; a proxy in between may answer anything.
  const errors = (body as { errors?: WireError[] } | null)?.errors
  return (
    errors?.[0] ?? {
      code: status === 401 ? 'unauthenticated' : 'unavailable',
      message: `The service answered ${status}.`,
    }
  )
}

/** Nobody was there to take it. Where the platform does not say, it may have been sent. */
const unsentCodes = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']

function wasNotSent(error: unknown): boolean {
  const failure = error instanceof Error ? error.cause : undefined
  const reason = failure instanceof Error ? failure.cause : undefined
  // What Node's fetch says of a connection that failed.
  return reason instanceof Error && 'code' in reason && unsentCodes.includes(String(reason.code))
}
