/**
 * The data keys of a store: which one seals, which ones open, and how many values each may still seal.
 *
 * Several servers write at once, and a key that is to be dropped must seal nothing any more, however late a commit arrives. So what decides is
 * not what a server believes: the record `current` names the key, and every commit that writes values checks its revision. A rotation is one
 * change of that record; what was sealed under the key before and has not yet been committed fails, and is sealed anew (`sealed.ts`).
 *
 * Nonces are random, so each key seals a bounded number of values. The count is of all servers and outlives them: each puts aside a block of
 * seals, by compare-and-swap on the record of the key, before it uses one of them; what a server had left when it ended is lost, not reused.
 */
import { createSecretKey, type KeyObject } from 'node:crypto'
import { type Clock, every, pause } from '../../clock.ts'
import { type Random, randomHex } from '../../random.ts'
import { commitKnown } from '../commit.ts'
import { type Engine, EngineCompacted, EngineFatal, EngineRefusal } from '../engine.ts'
import { type DataKey, ID_BYTES, isSealed } from './envelope.ts'
import { KeyUnavailable, SealBroken, SealMismatch } from './failures.ts'
import {
  decodeCurrent,
  decodeKey,
  encodeKeyRecord,
  type KeyPlaces,
  type KeyRecord,
  keyPlacesUnder,
  SEAL_FORMAT,
} from './key-records.ts'
import { KEY_BYTES, type KeySource } from './key-source.ts'

/** With random nonces of 96 bits, the chance that any two of so many are alike is 2^-37. Above it the key is replaced. */
export const SEALS_PER_KEY_MAX = 2 ** 30
/** Put aside at once: minutes of work at full speed, and a thousand starts of servers before a key is worn out by starts alone. */
const SEALS_PER_BLOCK = 2 ** 20
/** Servers that write notice a rotation by their next commit; this is for those that are idle. */
export const FOLLOW_MS = 1_000
/** The engine has tried for some time by itself. */
const AGAIN_MS = 100
/** Data keys of one store; those that seal nothing any more are dropped by `keys reencrypt`. */
const KEYS_MAX = 10_000

export type KeyringOptions = {
  engine: Engine
  root: string
  /** Key of the record that makes a store a cluster. */
  meta: string
  source: KeySource
  clock: Clock
  random: Random
  /** Another key seals from now on, or an old one is to be dropped: whoever alone may write a record should do so. */
  onRotated?(): void
  onTrouble?(trouble: { what: string; error: unknown }): void
  /** For tests: smaller than the defaults. */
  sealsPerKey?: number
  sealsPerBlock?: number
}

type Current = DataKey & {
  /** Revision of the record that names it. */
  fence: number
}

export class Keyring {
  readonly places: KeyPlaces
  readonly #options: KeyringOptions
  readonly #keys = new Map<string, KeyObject>()
  #current: Current | null = null
  /** Of the current key. */
  #sealsLeft = 0
  #allotting: Promise<void> | null = null
  #refreshing: Promise<void> | null = null
  #cancelTimer: () => void = () => undefined
  #isClosed = false

  constructor(options: KeyringOptions) {
    this.#options = options
    this.places = keyPlacesUnder(options.root)
  }

  /** Reads the keys, or makes the first one of a store that is empty. @throws KeyUnavailable, SealMismatch */
  async open(): Promise<void> {
    const { engine, meta } = this.#options
    for (;;) {
      const current = await this.#known(() => engine.read(this.places.current))
      const pair = await this.#known(() => engine.read(meta))
      if (pair && !isSealed(pair.value)) {
        throw new SealMismatch(
          'The store was begun without encryption, and what is in it cannot be sealed in place: start without the encryption settings, or with an empty store.',
        )
      }
      if (current) break
      if (pair) throw new SealBroken(`The store is sealed, and ${this.places.current} is not there.`)
      await this.#create()
    }
    await this.refresh()
    if (!this.#isClosed) this.#cancelTimer = every(this.#options.clock, FOLLOW_MS, () => this.#follow())
  }

  close(): void {
    this.#isClosed = true
    this.#cancelTimer()
  }

  /** The key to seal `count` values with now: they count from here on. */
  async take(count: number): Promise<Current> {
    for (;;) {
      const current = this.#current
      if (!current) throw new EngineRefusal('bad_request', 'the engine has been closed')
      if (this.#sealsLeft >= count) {
        this.#sealsLeft -= count
        return current
      }
      this.#allotting ??= this.#allot(current).finally(() => {
        this.#allotting = null
      })
      await this.#allotting
    }
  }

  /** At once when it is known; else from the store. @throws SealBroken */
  find(id: string): KeyObject | Promise<KeyObject> {
    return this.#keys.get(id) ?? this.#fetch(id)
  }

  get current(): { id: string; fence: number } {
    if (!this.#current) throw new Error('the keyring is not open')
    return this.#current
  }

  /** Looks again which key seals. Resolves when it is known. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = null
    })
    return this.#refreshing
  }

  /** All data keys, by id. */
  async list(): Promise<(KeyRecord & { id: string; modRevision: number })[]> {
    const { engine } = this.#options
    const { pairs } = await this.#known(() => engine.list({ prefix: this.places.prefix, limit: KEYS_MAX }))
    return pairs
      .filter(({ key }) => key !== this.places.current)
      .map(pair => ({
        ...decodeKey(pair),
        id: pair.key.slice(this.places.prefix.length),
        modRevision: pair.modRevision,
      }))
  }

  /** Makes a new data key that seals all that is written from now on, unless somebody else has been quicker. */
  async rotate(): Promise<void> {
    const fence = this.current.fence
    const made = await this.#newKey()
    await this.#commit({
      checks: [
        { key: this.places.current, modRevision: fence },
        { key: this.places.key(made.id), modRevision: 0 },
      ],
      writes: made.writes,
    })
    await this.refresh()
  }

  /** Reminds all servers to seal anew what only they may write. */
  async remind(): Promise<void> {
    const { id, fence } = this.current
    const value = encodeKeyRecord({ format: SEAL_FORMAT, current: id })
    await this.#commit({
      checks: [{ key: this.places.current, modRevision: fence }],
      writes: [{ key: this.places.current, value }],
    })
    await this.refresh()
  }

  async #create(): Promise<void> {
    const made = await this.#newKey()
    // When it does not pass, somebody else has been quicker: read again.
    await this.#commit({
      checks: [
        { key: this.places.current, modRevision: 0 },
        { key: this.#options.meta, modRevision: 0 },
      ],
      writes: made.writes,
    })
  }

  async #newKey(): Promise<{ id: string; writes: { key: string; value: Buffer }[] }> {
    const { random, source, clock } = this.#options
    const id = randomHex(random, ID_BYTES)
    const wrapped = await source.wrap(Buffer.from(random.bytes(KEY_BYTES)), contextOf(id))
    const record = { format: SEAL_FORMAT, wrapped, createdAt: clock.wallMs(), allotted: 0 }
    return {
      id,
      writes: [
        { key: this.places.current, value: encodeKeyRecord({ format: SEAL_FORMAT, current: id }) },
        { key: this.places.key(id), value: encodeKeyRecord(record) },
      ],
    }
  }

  async #refresh(): Promise<void> {
    const { engine } = this.#options
    const pair = await this.#known(() => engine.read(this.places.current))
    if (!pair) throw new SealBroken(`The store is sealed, and ${this.places.current} is not there.`)
    const before = this.#current
    if (before && before.fence >= pair.modRevision) return
    const id = decodeCurrent(pair).current
    const secret = await this.find(id)
    // A stale read must not take us back.
    if (this.#isClosed || (this.#current && this.#current.fence > pair.modRevision)) return
    if (this.#current?.id !== id) this.#sealsLeft = 0
    this.#current = { id, secret, fence: pair.modRevision }
    if (before) await this.#forgetDropped()
    if (before) this.#options.onRotated?.()
  }

  async #forgetDropped(): Promise<void> {
    const kept = new Set((await this.list()).map(({ id }) => id))
    for (const id of this.#keys.keys()) if (!kept.has(id) && id !== this.#current?.id) this.#keys.delete(id)
  }

  async #fetch(id: string): Promise<KeyObject> {
    const { engine, source } = this.#options
    const pair = await this.#known(() => engine.read(this.places.key(id)))
    if (!pair) throw new SealBroken(`A value is sealed under the data key ${id}, which the store does not have.`)
    const secret = await source.unwrap(decodeKey(pair).wrapped, contextOf(id))
    const key = createSecretKey(secret)
    secret.fill(0)
    this.#keys.set(id, key)
    return key
  }

  async #allot({ id }: Current): Promise<void> {
    const { engine, sealsPerKey = SEALS_PER_KEY_MAX, sealsPerBlock = SEALS_PER_BLOCK } = this.#options
    const pair = await this.#known(() => engine.read(this.places.key(id)))
    if (!pair) return this.refresh()
    const record = decodeKey(pair)
    const allotted = record.allotted + sealsPerBlock
    if (allotted > sealsPerKey) return this.rotate()
    const value = encodeKeyRecord({ ...record, allotted })
    const passed = await this.#commit({
      checks: [{ key: pair.key, modRevision: pair.modRevision }],
      writes: [{ key: pair.key, value }],
    })
    if (passed && this.#current?.id === id) this.#sealsLeft += sealsPerBlock
  }

  /** Whether it surely passed. What may have passed and cannot be told apart counts as not: seals are then lost, which is harmless. */
  async #commit(request: {
    checks: { key: string; modRevision: number }[]
    writes: { key: string; value: Buffer }[]
  }): Promise<boolean> {
    const { engine, clock, onTrouble } = this.#options
    const known = await commitKnown({
      engine,
      clock,
      ...request,
      passedAt: () => null,
      onUnknown: error => onTrouble?.({ what: 'a commit of the data keys', error }),
    })
    return known.ok
  }

  /** Whoever needs the key hears of it when it fails; until then there is nothing to be done. */
  #follow(): Promise<void> {
    const failed = (error: unknown) =>
      this.#options.onTrouble?.({ what: 'the data keys of the store cannot be read', error })
    return this.refresh().catch(failed)
  }

  /** Asks until the store answers, as long as waiting can help. */
  async #known<Result>(read: () => Promise<Result>): Promise<Result> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await read()
      } catch (error) {
        const isFinal =
          error instanceof EngineFatal || error instanceof EngineRefusal || error instanceof EngineCompacted
        if (isFinal || error instanceof KeyUnavailable || this.#isClosed) throw error
        if (attempt === 1) this.#options.onTrouble?.({ what: 'the store does not answer yet; waiting', error })
        await pause(this.#options.clock, AGAIN_MS)
      }
    }
  }
}

/** What a data key is wrapped for. */
export function contextOf(id: string): string {
  return `holdfast data key ${id}`
}

/** Throws `SealMismatch` when the store is sealed: for those who have no key. */
export async function refuseSealed(engine: Engine, root: string): Promise<void> {
  if (await engine.read(keyPlacesUnder(root).current)) throw sealedWithoutKey()
}

export function sealedWithoutKey(): SealMismatch {
  return new SealMismatch(
    'The store is encrypted, and no key was given: give --encryption-key-file, --encryption-key-command or --encryption-kms-command, as it was begun with.',
  )
}
