/**
 * The registry: records that any server may change and every server knows.
 *
 * There is no owner. Each change is one commit that checks the head of the trail at the revision that its server has read, and writes a new
 * head, the records, and the link of the trail that tells of it. So of two servers that change at once one is refused, reads what the
 * other has done, and decides anew: all changes are in one order, and each was decided on all before it. Links are chained by the hash of their
 * stored bytes. Decision 0017 says why this is no shard.
 *
 * Following: a watch on the head wakes it, and as a watch may lie the head is read every `FOLLOW_MS` too. Links that are still there are applied one
 * after another; where they are not, all records are read anew.
 */
import { HoldfastError } from '@holdfast/protocol/errors'
import { type Cancel, type Clock, every, pause } from '../clock.ts'
import { answering } from '../engine/answering.ts'
import { commitKnown, sameBytes } from '../engine/commit.ts'
import {
  COMMIT_BYTES_MAX,
  COMMIT_OPERATIONS_MAX,
  type Engine,
  EngineFatal,
  type KeyValue,
  type Write,
} from '../engine/engine.ts'
import { Denials } from './denials.ts'
import { Freshness } from './freshness.ts'
import { KnownRecords } from './known.ts'
import type { Deed, Put, Registry, Telling, Trail } from './port.ts'
import type { Kind, Records } from './records.ts'
import {
  decodeHead,
  decodeLink,
  decodeRecord,
  encode,
  type Head,
  hashLink,
  noHead,
  type RegistryKeys,
  registryKeysUnder,
} from './store.ts'

/** How late another server's change may be seen, without a watch, less the reading itself. */
export const FOLLOW_MS = 500
/** A change whose outcome is not known by then is answered `unavailable`. */
export const CHANGE_MS_MAX = 10_000
const CLOSE_MS_MAX = 2_000
/** Links of the trail that are kept. */
export const TRAIL_LINKS_MAX = 100_000
/** Links are dropped in bunches, so that not each change drops one. */
const DROPPED_AT_ONCE = 1_000
/** One record as it is stored. */
export const RECORD_BYTES_MAX = 64 * 1024
const PAGE_MAX = 500
/** Head, link and dropped links are three of the operations of a commit, its check one more. */
export const PUTS_MAX = COMMIT_OPERATIONS_MAX - 8

export type RegistryOptions = {
  engine: Engine
  clock: Clock
  /** What the keys of the store begin with. */
  root: string
  /** This start of this server, for the trail. */
  server: string
  /** Something that must not be: a person should look. */
  alarm(what: string, error: unknown): void
  fatal(error: Error): void
}

export type OpenedRegistry = Registry & {
  /** Remembers when credentials were last used; what is newer wins. Not in the trail. */
  recordUses(uses: ReadonlyMap<string, number>): Promise<void>
  /** Wall time; null: never, as far as is known. */
  lastUsedAtMs(credential: string): Promise<number | null>
  /** Writes what is buffered, and stops following. */
  close(): Promise<void>
}

/** Reads all records. */
export async function openRegistry(options: RegistryOptions): Promise<OpenedRegistry> {
  const registry = new StoredRegistry(options)
  await registry.start()
  return registry
}

class StoredRegistry implements OpenedRegistry {
  readonly #options: RegistryOptions
  readonly #keys: RegistryKeys
  readonly #known = new KnownRecords()
  readonly #listeners = new Set<(puts: readonly Put[]) => void>()
  readonly #stopped = new AbortController()
  #head: Head = noHead
  /** At which `#head` was read; 0: there is none yet. */
  #headRevision = 0
  /** Everything that touches the head goes one after another. */
  #last: Promise<unknown> = Promise.resolve()
  #cancelTimer: Cancel = () => undefined
  readonly #freshness: Freshness
  readonly #denials: Denials

  constructor(options: RegistryOptions) {
    this.#options = options
    this.#freshness = new Freshness(options.clock)
    this.#keys = registryKeysUnder(options.root)
    this.#denials = new Denials(options.clock, deeds => this.#writeDenials(deeds))
  }

  get seq(): number {
    return this.#head.seq
  }

  get isFresh(): boolean {
    return this.#freshness.isFresh
  }

  get<K extends Kind>(kind: K, id: string): Records[K] | null {
    return this.#known.get(kind, id)
  }

  all<K extends Kind>(kind: K): Iterable<Records[K]> {
    return this.#known.all(kind)
  }

  onChange(listener: (puts: readonly Put[]) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  async start(): Promise<void> {
    await this.#inTurn(() => this.#refresh())
    void this.#watch()
    if (!this.#stopped.signal.aborted) this.#cancelTimer = every(this.#options.clock, FOLLOW_MS, () => this.#follow())
  }

  async close(): Promise<void> {
    this.#stopped.abort()
    this.#cancelTimer()
    this.#denials.close()
    const { clock } = this.#options
    // A store that is away is not waited for.
    const tooLong = pause(clock, CLOSE_MS_MAX)
    await Promise.race([this.#denials.flush().then(() => this.#last), tooLong])
  }

  async change(telling: Telling, decide: () => readonly Put[]): Promise<void> {
    let cancel: Cancel = () => undefined
    const unknown = new HoldfastError(
      'unavailable',
      'The store has not answered: whether this has been done is not known.',
    )
    let isLate = false
    const tooLate = new Promise<never>((_, reject) => {
      cancel = this.#options.clock.after(CHANGE_MS_MAX, () => {
        isLate = true
        reject(unknown)
      })
    })
    // What has not been sent by then, or has surely not been done, is not begun minutes later, over what others have done meanwhile.
    const inTime = () => {
      if (isLate) throw unknown
      return decide()
    }
    const done = this.#inTurn(() => this.#changeNow(telling, inTime))
    // Told by the race, if it is still on.
    done.catch(() => undefined)
    try {
      await Promise.race([done, tooLate])
    } finally {
      cancel()
    }
  }

  note(deed: Deed): void {
    this.#denials.note(deed)
  }

  async trail({ after, limit }: { after: number; limit: number }): Promise<{ links: Trail[]; more: boolean }> {
    const listed = await this.#options.engine.list({
      prefix: this.#keys.trail,
      after: this.#keys.link(after),
      limit: Math.min(limit, PAGE_MAX),
    })
    return { links: listed.pairs.map(({ value }) => decodeLink(value)), more: listed.more }
  }

  async recordUses(uses: ReadonlyMap<string, number>): Promise<void> {
    const { engine } = this.#options
    // What was used and deleted in the same minute leaves nothing.
    const known = [...uses].filter(([id]) => this.get('credential', id) !== null)
    const writes = known.map(([id, atMs]) => ({ key: this.#keys.use(id), value: encode({ at: atMs }) }))
    for (let index = 0; index < writes.length; index += PUTS_MAX)
      await engine.commit({ checks: [], writes: writes.slice(index, index + PUTS_MAX) })
  }

  async lastUsedAtMs(credential: string): Promise<number | null> {
    const pair = await answering(this.#options.engine).read(this.#keys.use(credential))
    // Written by `recordUses`.
    return pair && (JSON.parse(Buffer.from(pair.value).toString()) as { at: number }).at
  }

  #inTurn<Result>(act: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(act, act)
    this.#last = result.catch(() => undefined)
    return result
  }

  /** Decides on what is known, and again on what others have done meanwhile. */
  async #changeNow(telling: Telling, decide: () => readonly Put[]): Promise<void> {
    const { engine, clock, server } = this.#options
    for (;;) {
      const puts = decide()
      const link: Trail = {
        seq: this.#head.seq + 1,
        at: clock.wallMs(),
        server,
        prev: this.#head.hash,
        deeds: typeof telling === 'function' ? telling(puts) : [telling],
        writes: [...puts],
      }
      const bytes = encode(link)
      const dropped = await this.#dropped()
      const head: Head = { ...this.#head, ...dropped?.head, seq: link.seq, hash: hashLink(bytes) }
      const key = this.#keys.link(link.seq)
      const known = await commitKnown({
        engine,
        clock,
        checks: [
          { key: this.#keys.head, modRevision: this.#headRevision },
          { key, modRevision: 0 },
        ],
        writes: [
          ...this.#writes(puts),
          ...(dropped?.writes ?? []),
          { key, value: bytes },
          { key: this.#keys.head, value: encode(head) },
        ],
        // Who wrote, when, after what: no other link has these bytes.
        passedAt: sameBytes(1, bytes),
        onUnknown: (error, attempt) =>
          attempt === 1 && this.#options.alarm('a change of the registry has an unknown outcome', error),
      })
      if (known.ok) {
        this.#head = head
        this.#headRevision = known.revision
        return this.#tell(puts)
      }
      await this.#refresh()
    }
  }

  #writes(puts: readonly Put[]): Write[] {
    const uses = puts.flatMap(({ kind, id, value }): Write[] =>
      kind === 'credential' && value === null ? [{ key: this.#keys.use(id), delete: true }] : [],
    )
    if (puts.length + uses.length > PUTS_MAX)
      throw new HoldfastError('invalid_request', `One change may be of at most ${PUTS_MAX} records.`)
    let sum = 0
    const records = puts.map(({ kind, id, value }): Write => {
      const key = this.#keys.record(kind, id)
      if (value === null) return { key, delete: true }
      const bytes = encode(value)
      sum += 2 * bytes.length
      if (bytes.length > RECORD_BYTES_MAX || sum > COMMIT_BYTES_MAX / 2)
        throw new HoldfastError('quota_exceeded', `A record of the registry has at most ${RECORD_BYTES_MAX} bytes.`, {
          details: { limit: 'record_bytes', max: RECORD_BYTES_MAX },
        })
      return { key, value: bytes }
    })
    return [...records, ...uses]
  }

  /** The oldest links, when there are too many; null: there are not. */
  async #dropped(): Promise<{ head: Pick<Head, 'firstSeq' | 'anchor'>; writes: Write[] } | null> {
    const { firstSeq, seq } = this.#head
    if (seq - firstSeq + 1 < TRAIL_LINKS_MAX + DROPPED_AT_ONCE) return null
    const first = firstSeq + DROPPED_AT_ONCE
    const pair = await this.#options.engine.read(this.#keys.link(first))
    if (!pair) return null
    const range: Write = { from: this.#keys.link(firstSeq), to: this.#keys.link(first), delete: true }
    return { head: { firstSeq: first, anchor: decodeLink(pair.value).prev }, writes: [range] }
  }

  /** Reads what others have changed. */
  async #refresh(): Promise<void> {
    const { engine } = this.#options
    const asked = this.#freshness.now()
    const pair = await engine.read(this.#keys.head, { atLeast: this.#headRevision })
    if (pair && pair.modRevision !== this.#headRevision) await this.#readUpTo(pair)
    this.#freshness.saw(asked)
  }

  async #readUpTo(pair: KeyValue): Promise<void> {
    const head = decodeHead(pair.value)
    if (head.hash === this.#head.hash) {
      // Nothing has changed but its place in the store: it has been encrypted anew.
      this.#headRevision = pair.modRevision
      return
    }
    const isReadable = head.firstSeq <= this.#head.seq + 1 && this.#head.seq > 0 && head.seq > this.#head.seq
    if (!(isReadable && (await this.#readLinks(head)))) await this.#readAll()
    else {
      this.#head = head
      this.#headRevision = pair.modRevision
    }
  }

  /** Whether the links from what is known to `head` were all there, and followed from each other. */
  async #readLinks(head: Head): Promise<boolean> {
    const found: Put[] = []
    let { seq, hash } = this.#head
    while (seq < head.seq) {
      const after = this.#keys.link(seq)
      const { pairs } = await this.#options.engine.list({ prefix: this.#keys.trail, after, limit: PAGE_MAX })
      if (pairs.length === 0) return false
      for (const { value } of pairs) {
        if (seq === head.seq) break
        const link = decodeLink(value)
        if (link.seq !== seq + 1) return false
        if (link.prev !== hash)
          this.#options.alarm(`link ${link.seq} of the registry’s trail does not follow from the one before`, null)
        found.push(...link.writes)
        hash = hashLink(value)
        seq++
      }
    }
    if (hash !== head.hash) this.#options.alarm('the head of the registry’s trail is not its last link', null)
    this.#tell(found)
    return true
  }

  /** All records between two looks at the same head. */
  async #readAll(): Promise<void> {
    const { engine } = this.#options
    for (;;) {
      const before = await engine.read(this.#keys.head)
      const puts: Put[] = []
      for (let after: string | undefined, more = true; more; ) {
        const options = after === undefined ? {} : { after }
        const page = await engine.list({ prefix: this.#keys.records, limit: PAGE_MAX, ...options })
        for (const { key, value } of page.pairs) puts.push(decodeRecord(this.#keys, key, value))
        after = page.pairs.at(-1)?.key
        more = page.more
      }
      const behind = await engine.read(this.#keys.head)
      if (before?.modRevision !== behind?.modRevision) continue
      this.#head = behind ? decodeHead(behind.value) : noHead
      this.#headRevision = behind?.modRevision ?? 0
      return this.#tell(this.#known.difference(puts))
    }
  }

  #tell(puts: readonly Put[]): void {
    this.#known.apply(puts)
    if (puts.length === 0) return
    for (const listener of this.#listeners) {
      try {
        listener(puts)
      } catch (error) {
        this.#options.alarm('a listener to the registry has failed', error)
      }
    }
  }

  async #writeDenials(deeds: Deed[]): Promise<void> {
    await this.#inTurn(() =>
      this.#changeNow(
        () => deeds,
        () => [],
      ),
    ).catch((error: unknown) => this.#failed('denials could not be written to the trail', error))
  }

  #follow(): Promise<void> {
    return this.#inTurn(() => this.#refresh()).catch((error: unknown) =>
      this.#failed('the registry could not be read', error),
    )
  }

  /** Wakes the follower early. What ends it is no loss: the timer goes on. */
  async #watch(): Promise<void> {
    const { signal } = this.#stopped
    try {
      for await (const _ of this.#options.engine.watch({ prefix: this.#keys.head, signal }))
        await this.#inTurn(() => this.#refresh())
    } catch (error) {
      this.#failed('the watch of the registry has ended', error)
    }
  }

  #failed(what: string, error: unknown): void {
    if (this.#stopped.signal.aborted) return
    if (error instanceof EngineFatal) return this.#options.fatal(error)
    this.#options.alarm(what, error)
  }
}
