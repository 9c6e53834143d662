/**
 * A thin client of etcd: connections, credentials, and which member to ask. It repeats no call but one that surely was not carried out
 * because its token was stale. Deciding what to do after a failure is for those who call.
 *
 * `client.range(…)` and its kin ask the member that answered last; when one fails, or is slow and another is not, the next call goes to another. `client.at(url)` asks
 * exactly that member. Watches have connections of their own, so that a flood of events never stands before a commit.
 */
import { type ChannelCredentials, credentials, logVerbosity, setLogVerbosity } from '@grpc/grpc-js'
import { type Clock, every } from '../../clock.ts'
import { Calls, type ReplyOf, type RequestOf } from './calls.ts'
import { Channel, type Endpoint, endpointOf, KEEPALIVE_MS } from './channel.ts'
import { FileCredentials, type TlsFiles } from './credentials.ts'
import { EtcdError, isWorthAnother, toEtcdError } from './errors.ts'
import { FOLLOW_MS, followed, isAsAdvertised } from './following.ts'
import { methods } from './messages.ts'
import { LOOK_AGAIN_MS, quickerThan, SLOW_MS } from './quicker.ts'
import type { Message, Method, Received, ToSend } from './wire.ts'

export type EtcdLogin = { user: string; password: string }

export type EtcdClientOptions = {
  /** Of the members, like https://10.0.0.1:2379. */
  urls: readonly string[]
  clock: Clock
  tls?: TlsFiles
  login?: EtcdLogin | null
  /** For tests: other times than the default. */
  keepaliveMs?: number
  reloadMs?: number
  /** Members that come and go are found by themselves (`following.ts`). */
  follows?: boolean
  onTrouble?(trouble: { what: string; error: unknown }): void
}

/** A password is hashed by etcd with bcrypt, on purpose slowly. */
const LOGIN_MS_MAX = 5_000
/** A member that has failed is asked again before this only if all others have failed since. */
const SHUNNED_MS = 5_000

/** What is asked of another when it takes long; whoever asks for these asks again, and knows what to think of an outcome that is unknown. */
const movable = new Set<unknown>([methods.txn, methods.range])

/** `look`: whether others have an answer where it has none is being found out. */
type Member = {
  endpoint: Endpoint
  calls: Channel
  watches: Channel
  failedMs: number
  lookedMs: number
  look: Promise<boolean> | null
}

export class EtcdClient extends Calls {
  readonly #options: EtcdClientOptions
  #members: Member[]
  readonly #files: FileCredentials | null
  #good: Member
  #token: string | null = null
  #login: Promise<string> | null = null
  #stopFollowing: () => void = () => undefined
  readonly #closing = new AbortController()

  /** @throws when a URL or a certificate cannot be used. Connects with the first call. */
  constructor(options: EtcdClientOptions) {
    super((method, request, timeoutMs) => this.#ask(this.#good, method, request, timeoutMs))
    this.#options = options
    // What it would print comes to us as errors, and standard output is ours.
    setLogVerbosity(logVerbosity.NONE)
    const endpoints = options.urls.map(endpointOf)
    const { tls = { caFile: null, certificate: null }, clock, reloadMs } = options
    this.#files = endpoints.some(endpoint => endpoint.isSecure)
      ? new FileCredentials({
          files: tls,
          clock,
          ...(reloadMs === undefined ? {} : { reloadMs }),
          onChange: changed => this.#reconnect(changed),
          onUnusable: error => options.onTrouble?.({ what: 'the new certificates for etcd cannot be used', error }),
        })
      : null
    const secure = this.#files?.make() ?? credentials.createInsecure()
    this.#members = endpoints.map(endpoint => this.#join(endpoint, secure))
    const [first] = this.#members
    if (!first) throw new Error('etcd needs at least one endpoint')
    this.#good = first
    if (options.follows) this.#follow()
  }

  get urls(): string[] {
    return this.#members.map(member => member.endpoint.url)
  }

  /** The member that is asked at present. */
  get current(): string {
    return this.#good.endpoint.url
  }

  /** Asks exactly this member, which must be one of `urls`. */
  at(url: string): Calls {
    const member = this.#member(url)
    return new Calls((method, request, timeoutMs) => this.#ask(member, method, request, timeoutMs))
  }

  /** Keeps the other connections warm, so that a change of member costs no handshake. */
  connect(): void {
    for (const { calls } of this.#members) calls.connect()
  }

  /** What this member answered cannot be used: the next call goes to another. */
  shun(url: string): void {
    // It may have left meanwhile.
    if (this.urls.includes(url)) this.#failed(this.#member(url))
  }

  /** The pieces of a backup, of exactly this member. The last 32 bytes of all are its SHA-256. */
  async *snapshot(url: string): AsyncGenerator<ReplyOf<'snapshot'>> {
    const { calls } = this.#member(url)
    const stream = calls.download(methods.snapshot, {}, await this.#tokenOf(this.#member(url)))
    try {
      for await (const piece of stream) yield piece as ReplyOf<'snapshot'> // what the method's reply decodes to
    } catch (error) {
      throw toEtcdError(error, url)
    } finally {
      stream.cancel()
    }
  }

  /** A stream of watches, on the watches' own connection to the current member. The one who opens it cancels it. */
  async openWatch() {
    const member = this.#good
    return { url: member.endpoint.url, stream: member.watches.duplex(methods.watch, await this.#tokenOf(member)) }
  }

  /** Users or roles have changed, or the token is too old: log in again. */
  forgetToken(): void {
    this.#token = null
  }

  close(): void {
    this.#closing.abort()
    this.#stopFollowing()
    this.#files?.close()
    for (const { calls, watches } of this.#members) {
      calls.close()
      watches.close()
    }
  }

  #follow(): void {
    let isBelieved = false
    let isTold = false
    this.#stopFollowing = every(this.#options.clock, FOLLOW_MS, async () => {
      // Without a leader there is no list that could be believed.
      const members = await this.memberList({ isLinearizable: true }).catch(() => null)
      if (members === null || this.#closing.signal.aborted) return
      try {
        isBelieved ||= isAsAdvertised(this.urls, members)
        if (isBelieved) this.#change(followed(this.urls, members))
        else this.#stopFollowing()
        isTold = false
      } catch (error) {
        const what = 'the list of the members of etcd cannot be followed; those that are known are asked'
        if (!isTold) this.#options.onTrouble?.({ what, error })
        isTold = true
      }
    })
  }

  #change(urls: readonly string[]): void {
    if (urls.length === 0 || this.#closing.signal.aborted) return
    const secure = this.#files?.make() ?? credentials.createInsecure()
    const kept = this.#members.filter(({ endpoint }) => urls.includes(endpoint.url))
    const left = this.#members.filter(member => !kept.includes(member))
    const fresh = urls.filter(url => !this.urls.includes(url)).map(endpointOf)
    if (left.length + fresh.length === 0) return
    const added = fresh.map(endpoint => this.#join(endpoint, secure))
    this.#members = [...kept, ...added]
    if (left.includes(this.#good)) this.#good = kept[0] ?? added[0] ?? this.#good
    this.connect()
    for (const { calls, watches } of left) {
      calls.close()
      watches.close()
    }
  }

  #join(endpoint: Endpoint, secure: ChannelCredentials): Member {
    const never = Number.NEGATIVE_INFINITY
    return { endpoint, ...this.#open(endpoint, secure), failedMs: never, lookedMs: never, look: null }
  }

  #open(endpoint: Endpoint, secure: ChannelCredentials): { calls: Channel; watches: Channel } {
    const { clock, keepaliveMs = KEEPALIVE_MS } = this.#options
    const own = endpoint.isSecure ? secure : credentials.createInsecure()
    const options = { endpoint, credentials: own, clock, keepaliveMs }
    return { calls: new Channel(options), watches: new Channel(options) }
  }

  #member(url: string): Member {
    const member = this.#members.find(({ endpoint }) => endpoint.url === url)
    if (!member) throw new Error(`${url} is none of the endpoints of this client`)
    return member
  }

  async #ask<Request extends Message, Reply extends Message>(
    member: Member,
    method: Method<Request, Reply>,
    request: ToSend<Request>,
    timeoutMs: number,
  ): Promise<Received<Reply>> {
    try {
      const token = await this.#tokenOf(member)
      const beganMs = this.#options.clock.hrtimeMs()
      try {
        const slow = movable.has(method)
          ? (leave: () => void) => void this.#lookAround(member).then(isLeft => isLeft && leave())
          : undefined
        const reply = await member.calls.unary(method, request, { timeoutMs, token, ...(slow && { slow }) })
        if (!slow && this.#options.clock.hrtimeMs() - beganMs > SLOW_MS) void this.#lookAround(member)
        return reply
      } catch (error) {
        const isStale = error instanceof EtcdError && error.kind === 'stale_token'
        if (!isStale || !this.#options.login) throw error
        // Somebody else may have logged in again by now.
        if (this.#token === token) this.#token = null
        return await member.calls.unary(method, request, { timeoutMs, token: await this.#tokenOf(member) })
      }
    } catch (error) {
      if (isWorthAnother(error)) this.#failed(member)
      throw error
    }
  }

  /** null without a user. @throws EtcdError */
  async #tokenOf(member: Member): Promise<string | null> {
    const { login } = this.#options
    if (!login || this.#token !== null) return this.#token
    this.#login ??= this.#logIn(member, login).finally(() => {
      this.#login = null
    })
    return this.#login
  }

  async #logIn(member: Member, { user, password }: EtcdLogin): Promise<string> {
    const request: RequestOf<'authenticate'> = { name: user, password }
    const { token } = await member.calls.unary(methods.authenticate, request, { timeoutMs: LOGIN_MS_MAX, token: null })
    this.#token = token
    return token
  }

  /** Whether others answer in a moment where this one takes long, and it has been left for one of them. Never rejects. */
  #lookAround(slow: Member): Promise<boolean> {
    slow.look ??= this.#isLeft(slow).finally(() => {
      slow.look = null
    })
    return slow.look
  }

  async #isLeft(slow: Member): Promise<boolean> {
    const { clock, onTrouble } = this.#options
    const { url } = slow.endpoint
    if (clock.hrtimeMs() - slow.lookedMs < LOOK_AGAIN_MS) return false
    slow.lookedMs = clock.hrtimeMs()
    const others = this.urls.filter(other => other !== url).map(other => ({ url: other, calls: this.at(other) }))
    const { signal } = this.#closing
    const quicker = await quickerThan(this.at(url), { others, clock, signal })
    // Meanwhile one of them may have left.
    if (quicker === null || signal.aborted || ![url, quicker].every(one => this.urls.includes(one))) return false
    slow.failedMs = clock.hrtimeMs()
    if (slow !== this.#good) return true
    this.#good = this.#member(quicker)
    onTrouble?.({ what: `etcd at ${url} is slow: ${quicker} is asked instead`, error: null })
    return true
  }

  #failed(member: Member): void {
    const nowMs = this.#options.clock.hrtimeMs()
    member.failedMs = nowMs
    this.connect()
    if (member !== this.#good || this.#members.length === 1) return
    // A member that is stopped looks connected: that it failed says more. Among those that did not, one that is connected; then, in order.
    const rank = ({ failedMs, calls }: Member) => Math.min(0, nowMs - failedMs - SHUNNED_MS) || (calls.isReady ? 1 : 0)
    const from = this.#members.indexOf(member)
    const others = [...this.#members.slice(from + 1), ...this.#members.slice(0, from)]
    this.#good = others.reduce((best, other) => (rank(other) > rank(best) ? other : best))
  }

  /** New connections, with new credentials; what is in flight on the old ones comes to its end. */
  #reconnect(secure: ChannelCredentials): void {
    for (const member of this.#members.filter(({ endpoint }) => endpoint.isSecure)) {
      const { calls, watches } = member
      Object.assign(member, this.#open(member.endpoint, secure))
      calls.close()
      watches.close()
    }
  }
}
