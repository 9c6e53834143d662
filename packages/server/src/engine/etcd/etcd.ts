/**
 * etcd as an engine: many servers, one order of commits. It is asked for nothing but compare-and-swap; leases, locks and elections are not
 * used at all, reads and watches are believed no further than the interface promises.
 *
 * A commit is one flat transaction that compares revisions, and whose other branch reads what was compared, so that who fails learns
 * why in the same step. It is sent once. If no answer comes in time, or one that is not in the table of definite refusals, the outcome is
 * unknown, and the caller finds out by committing the same again, to another member by then (SAFETY P3).
 *
 * How long one attempt may take is bounded (patience.ts), so one member that is dead, stopped or cut off costs half a second, once.
 */
import { type Clock, pause } from '../../clock.ts'
import {
  type CommitRequest,
  type CommitResult,
  type Engine,
  EngineCompacted,
  EngineFatal,
  EngineRefusal,
  type EngineSize,
  type KeyValue,
  type Listing,
  type ListOptions,
} from '../engine.ts'
import { refuseCommit, refuseKey, refuseListing } from '../request.ts'
import type { ReplyOf, RequestOf } from './calls.ts'
import { isInTheClear } from './channel.ts'
import { EtcdClient, type EtcdClientOptions } from './client.ts'
import { Continuity } from './continuity.ts'
import { EtcdError, isWorthAnother } from './errors.ts'
import { Patience } from './patience.ts'
import { commitBytes, foundIn, pairOf, probeOf, rangeOf, txnOf } from './requests.ts'
import { Space, type SpaceSettings, spaceSettings } from './space.ts'
import { judgeVersion } from './version.ts'
import { watchHints } from './watch.ts'

export type EtcdOptions = EtcdClientOptions & {
  /** `--quota-backend-bytes` of the members. Needed only where they do not say it themselves (before 3.6). */
  quotaBytes?: number
  /** Start also on a version that is too old to be trusted. */
  takesAnyVersion?: boolean
  /** What an earlier start of this server has seen of the store: anything older is refused. */
  known?: { clusterId: bigint; revision: number } | null
  onWarning?(text: string): void
  /** How long to wait at first for a member that answers; the members may be starting too. Default: 15 s. */
  openMsMax?: number
  /** For tests: other times and sizes than the default. */
  readMsMax?: number
  watchAskMs?: number
  space?: Partial<SpaceSettings>
}

/** etcd's own default. */
const QUOTA_BYTES_DEFAULT = 2 * 1024 * 1024 * 1024
/** Of a read with all its attempts: longer than an election, or than one member after another being silent. */
const READ_MS_MAX = 10_000
/** The members may be starting when this server does. */
const OPEN_MS_MAX = 15_000
/** Whoever reads the log learns so often that a store is still waited for. */
const TELL_MS = 10_000
const PAUSE_MS_MIN = 10
const PAUSE_MS_MAX = 250
/** What one attempt is given besides, for its size: 2 MiB/s is a slow link. */
const BYTES_PER_MS = 2_048
/** A page of a listing may have many megabytes. */
const LIST_EXTRA_MS = 2_000

/** Opens the store, or says why it cannot be used. @throws Error */
export async function openEtcd(options: EtcdOptions): Promise<EtcdEngine> {
  const engine = new EtcdEngine(options)
  try {
    await engine.open()
    return engine
  } catch (error) {
    await engine.close()
    throw error
  }
}

export class EtcdEngine implements Engine {
  readonly name = 'etcd'
  readonly client: EtcdClient
  readonly #options: EtcdOptions
  readonly #clock: Clock
  readonly #continuity: Continuity
  readonly #space: Space
  readonly #commits = new Patience()
  readonly #reads = new Patience()
  readonly #closing = new AbortController()
  #fatal: EngineFatal | null = null

  constructor(options: EtcdOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#continuity = new Continuity(options.known)
    this.client = new EtcdClient(options)
    const settings = { ...spaceSettings, ...options.space }
    const { clock, quotaBytes = QUOTA_BYTES_DEFAULT, onTrouble } = options
    this.#space = new Space({ client: this.client, clock, quotaBytes, settings, onTrouble })
  }

  /** Which store it is, and how far it has come: for a later start to compare with. */
  get seen(): { clusterId: bigint | null; revision: number } {
    return { clusterId: this.#continuity.clusterId, revision: this.#continuity.revision }
  }

  /** Waits until a member answers, and refuses a store that is not to be trusted. */
  async open(): Promise<void> {
    this.client.connect()
    const warnings = new Set(this.client.urls.filter(isInTheClear).map(url => `${url} ${IN_THE_CLEAR}`))
    const beganMs = this.#clock.hrtimeMs()
    let toldMs = beganMs - TELL_MS
    for (;;) {
      const answers = await Promise.allSettled(this.client.urls.map(url => this.client.at(url).status()))
      let failure: unknown = null
      for (const answer of answers) {
        if (answer.status === 'fulfilled') for (const warning of this.#judge(answer.value)) warnings.add(warning)
        else if (failure === null || !isWorthAnother(answer.reason)) failure = answer.reason
      }
      if (answers.some(answer => answer.status === 'fulfilled')) break
      if (!isWorthAnother(failure) || this.#clock.hrtimeMs() - beganMs > (this.#options.openMsMax ?? OPEN_MS_MAX))
        throw failure
      if (this.#clock.hrtimeMs() - toldMs >= TELL_MS) {
        toldMs = this.#clock.hrtimeMs()
        this.#options.onTrouble?.({
          what: `no etcd member answers (${this.client.urls.join(', ')}); waiting`,
          error: failure,
        })
      }
      await pause(this.#clock, PAUSE_MS_MAX)
    }
    for (const warning of warnings) this.#options.onWarning?.(warning)
  }

  async read(key: string, { atLeast = 0 }: { atLeast?: number } = {}): Promise<KeyValue | null> {
    this.#assertUsable()
    refuseKey(key)
    const { kvs } = await this.#range({ key: Buffer.from(key) }, { atLeast, extraMs: 0 })
    return kvs[0] ? pairOf(kvs[0]) : null
  }

  async list(options: ListOptions): Promise<Listing> {
    this.#assertUsable()
    refuseListing(options)
    const { limit, revision, atLeast = 0 } = options
    const request = { ...rangeOf(options), limit, ...(revision === undefined ? {} : { revision }) }
    const reply = await this.#range(request, { atLeast: Math.max(atLeast, revision ?? 0), extraMs: LIST_EXTRA_MS })
    return { pairs: reply.kvs.map(pairOf), revision: revision || (reply.header?.revision ?? 0), more: reply.more }
  }

  async commit(request: CommitRequest): Promise<CommitResult> {
    this.#assertUsable()
    refuseCommit(request)
    if (request.writes.length === 0) return this.#compare(request)
    try {
      const { reply, revision } = await this.#write(txnOf(request), commitBytes(request))
      return reply.succeeded ? { ok: true, revision } : { ok: false, revision, found: foundIn(reply, request) }
    } catch (error) {
      if (error instanceof EtcdError && error.kind === 'no_space') return this.#afterNoSpace(request, error)
      throw refusalOf(error)
    }
  }

  async *watch({ prefix, signal }: { prefix: string; signal: AbortSignal }): AsyncIterable<void> {
    this.#assertUsable()
    const { watchAskMs } = this.#options
    yield* watchHints({
      client: this.client,
      clock: this.#clock,
      range: rangeOf({ prefix }),
      signal: AbortSignal.any([signal, this.#closing.signal]),
      ...(watchAskMs === undefined ? {} : { askMs: watchAskMs }),
      onHeader: header => {
        try {
          this.#guard(() => this.#continuity.saw(header))
        } catch {
          // It is kept: whoever uses the store next hears of it.
        }
      },
      onTrouble: error => this.#options.onTrouble?.({ what: 'a watch of etcd has ended, and is opened again', error }),
    })
  }

  async size(): Promise<EngineSize> {
    this.#assertUsable()
    return this.#space.size()
  }

  async tend(): Promise<void> {
    this.#assertUsable()
    await this.#space.tend()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.client.close()
  }

  /** Returns what is to be warned of. */
  #judge({ header, version }: ReplyOf<'status'>): string[] {
    this.#guard(() => this.#continuity.saw(header))
    const { refusal, warnings } = judgeVersion(version)
    if (refusal && !this.#options.takesAnyVersion) throw new Error(`This etcd cannot be used: ${refusal}.`)
    return refusal ? [refusal] : warnings
  }

  /** One attempt. Decided by all members, so its answer is never older than what was known when it was sent. */
  async #write(txn: RequestOf<'txn'>, bytes: number): Promise<{ reply: ReplyOf<'txn'>; revision: number }> {
    const floor = this.#continuity.revision
    const reply = await this.#patiently(this.#commits, ms => this.client.txn(txn, ms + bytes / BYTES_PER_MS))
    return { reply, revision: this.#guard(() => this.#continuity.sawWrite(reply.header, floor)) }
  }

  /** A transaction that only reads would be answered by one member alone; so it deletes what is not there. */
  async #compare(request: CommitRequest): Promise<CommitResult> {
    const key = request.checks[0]?.key ?? 'holdfast'
    try {
      const { reply, revision } = await this.#write(probeOf(key, request.checks), 0)
      return reply.succeeded ? { ok: true, revision } : { ok: false, revision, found: foundIn(reply, request, 1) }
    } catch (error) {
      throw refusalOf(error)
    }
  }

  /**
   * etcd says that it is full, and may say so of a commit that it has applied. If the checks still pass, and the commit itself would have
   * made them fail, it was not applied: a refusal. If they fail, what they find is the truth, and the caller reads it there.
   */
  async #afterNoSpace(request: CommitRequest, cause: EtcdError): Promise<CommitResult> {
    const { checks, writes } = request
    const isTelling = checks.some(({ key }) => writes.some(write => 'key' in write && write.key === key))
    if (!isTelling) throw cause
    const outcome = await this.#compare({ checks, writes: [] })
    if (outcome.ok) throw new EngineRefusal('storage_full', cause.message)
    return outcome
  }

  async #patiently<Reply>(patience: Patience, act: (ms: number) => Promise<Reply>): Promise<Reply> {
    const beganMs = this.#clock.hrtimeMs()
    const { ms } = patience
    try {
      const reply = await act(ms)
      patience.answered(this.#clock.hrtimeMs() - beganMs)
      return reply
    } catch (error) {
      if (error instanceof EtcdError && error.kind === 'timed_out') patience.gaveUp(ms)
      throw error
    }
  }

  /** Reads change nothing, so they are tried again, at other members, within a bound. */
  async #range(
    request: RequestOf<'range'>,
    { atLeast, extraMs }: { atLeast: number; extraMs: number },
  ): Promise<ReplyOf<'range'>> {
    const beganMs = this.#clock.hrtimeMs()
    for (let pauseMs = PAUSE_MS_MIN; ; pauseMs = Math.min(PAUSE_MS_MAX, pauseMs * 2)) {
      this.#assertUsable()
      const url = this.client.current
      let failure: unknown
      try {
        const floor = Math.max(atLeast, this.#continuity.revision)
        const reply = await this.#patiently(this.#reads, ms => this.client.at(url).range(request, ms + extraMs))
        const revision = this.#guard(() => this.#continuity.saw(reply.header))
        if (revision >= floor) return reply
        failure = new Error(`etcd at ${url} answered a read with revision ${revision}, which is older than ${floor}`)
        await this.#investigate(request.key)
        this.client.shun(url)
      } catch (error) {
        if (!isWorthAnother(error)) throw refusalOf(error)
        failure = error
      }
      if (this.#clock.hrtimeMs() - beganMs > (this.#options.readMsMax ?? READ_MS_MAX)) throw failure
      await pause(this.#clock, pauseMs)
    }
  }

  /** A read was older than it may be: has only that member fallen behind, or has the store gone back? A write can tell. */
  async #investigate(key: Uint8Array = Buffer.from('holdfast')): Promise<void> {
    await this.#write(probeOf(Buffer.from(key).toString(), []), 0)
  }

  #assertUsable(): void {
    if (this.#fatal) throw this.#fatal
    if (this.#closing.signal.aborted) throw new EngineRefusal('bad_request', 'the engine has been closed')
  }

  /** The first fatal answer is the last: nothing after it can be trusted. */
  #guard<Result>(look: () => Result): Result {
    try {
      return look()
    } catch (error) {
      if (error instanceof EngineFatal) this.#fatal ??= error
      throw error
    }
  }
}

const IN_THE_CLEAR = 'is asked without TLS: what secrets are derived from travels in the clear'

/** Definite refusals in the words of the engine; everything else stays what it is, and unknown. */
function refusalOf(error: unknown): unknown {
  if (!(error instanceof EtcdError)) return error
  switch (error.kind) {
    case 'too_large':
    case 'too_many_operations':
    case 'bad_request':
      return new EngineRefusal(error.kind, error.message)
    case 'permission_denied':
      return new EngineRefusal('bad_request', error.message)
    case 'compacted':
      return new EngineCompacted(error.message)
    case 'no_space':
    case 'future_revision':
    case 'stale_token':
    case 'login_needed':
    case 'login_refused':
    case 'login_disabled':
    case 'timed_out':
    case 'unknown':
      return error
  }
}
