/**
 * Any engine, with every value sealed but the records of the data keys. Keys of records, their number, sizes, revisions and times are as they were: that is
 * what cannot be hidden from a store that orders and compares.
 *
 * It promises what the engine below promises. A commit checks, beside what it was asked to, that the data key it was sealed under is still the
 * current one. When that alone has failed, nothing was written: it is sealed anew and committed again, and nobody hears of it. When it was never
 * answered, whoever commits asks again with the same text, as ever; that it is sealed anew each time does no harm, for what is compared with what was
 * found (`sameBytes`) is the text.
 */
import type {
  CommitRequest,
  CommitResult,
  Engine,
  EngineSize,
  KeyValue,
  Listing,
  ListOptions,
  Write,
} from '../engine.ts'
import { refuseCommit } from '../request.ts'
import { type DataKey, dataKeyOf, SEAL_BYTES, seal, unseal } from './envelope.ts'
import { SealBroken } from './failures.ts'
import { Keyring, type KeyringOptions } from './keyring.ts'

export type SealedOptions = Omit<KeyringOptions, 'engine'>
export type SealedEngine = Engine & {
  readonly keyring: Keyring
  /** What is below: values as they are stored. */
  readonly inner: Engine
  /** A pair as it is stored → as it was written. @throws SealBroken */
  open(pair: KeyValue): Promise<KeyValue>
}

/** Rotations in a row that one commit bears; there is never more than one in a second. */
const ROTATIONS_MAX = 100

/**
 * Opens the sealed store, or begins one in an empty store.
 * @throws KeyUnavailable when the key-encryption key is not to be had or not the right one; SealMismatch when the store is in the clear.
 */
export async function openSealed(engine: Engine, options: SealedOptions): Promise<SealedEngine> {
  const keyring = new Keyring({ ...options, engine })
  try {
    await keyring.open()
  } catch (error) {
    keyring.close()
    throw error
  }
  return new Sealed(engine, keyring, options)
}

class Sealed implements SealedEngine {
  readonly name: Engine['name']
  readonly isSealed = true
  readonly inner: Engine
  readonly keyring: Keyring
  readonly tend?: () => Promise<void>
  readonly #options: SealedOptions

  constructor(inner: Engine, keyring: Keyring, options: SealedOptions) {
    this.name = inner.name
    this.inner = inner
    this.keyring = keyring
    this.#options = options
    if (inner.tend) this.tend = () => inner.tend?.() ?? Promise.resolve()
  }

  async read(key: string, options?: { atLeast?: number }): Promise<KeyValue | null> {
    const pair = await this.inner.read(key, options)
    return pair && this.#opened(pair)
  }

  async list(options: ListOptions): Promise<Listing> {
    const listing = await this.inner.list(options)
    const pairs: KeyValue[] = []
    for (const pair of listing.pairs) {
      const opened = this.#opened(pair)
      // Nearly all open at once, and a promise for each would cost more than the opening.
      pairs.push(opened instanceof Promise ? await opened : opened)
    }
    return { ...listing, pairs }
  }

  async commit(request: CommitRequest): Promise<CommitResult> {
    refuseCommit(request)
    const values = request.writes.filter(write => 'value' in write).length
    if (values === 0) return this.#found(await this.inner.commit(request))
    for (let attempt = 0; attempt < ROTATIONS_MAX; attempt++) {
      const current = await this.keyring.take(values)
      const fence = { key: this.keyring.places.current, modRevision: current.fence }
      const result = await this.inner.commit({
        checks: [...request.checks, fence],
        writes: request.writes.map(write => this.#sealed(write, current)),
        sealing: { bytes: values * SEAL_BYTES + Buffer.byteLength(fence.key), operations: 1 },
      })
      if (result.ok) return result
      const found = result.found.slice(0, -1)
      const isAsAsked = request.checks.every(
        ({ modRevision }, index) => (found[index]?.modRevision ?? 0) === modRevision,
      )
      if (!isAsAsked) return this.#found({ ...result, found })
      await this.keyring.refresh()
    }
    throw new Error('the data key of the store changes all the time')
  }

  watch(options: { prefix: string; signal: AbortSignal }): AsyncIterable<void> {
    return this.inner.watch(options)
  }

  size(): Promise<EngineSize> {
    return this.inner.size()
  }

  async close(): Promise<void> {
    this.keyring.close()
    await this.inner.close()
  }

  async open(pair: KeyValue): Promise<KeyValue> {
    return this.#opened(pair)
  }

  #sealed(write: Write, key: DataKey): Write {
    if (!('value' in write)) return write
    return { key: write.key, value: seal(write, key, this.#options.random) }
  }

  async #found(result: CommitResult): Promise<CommitResult> {
    if (result.ok) return result
    return { ...result, found: await Promise.all(result.found.map(pair => pair && this.#opened(pair))) }
  }

  #opened(pair: KeyValue): KeyValue | Promise<KeyValue> {
    if (pair.key.startsWith(this.keyring.places.prefix)) return pair
    const id = dataKeyOf(pair.value)
    if (id === null) {
      throw new SealBroken(`The value of ${pair.key} is not sealed, in a store that is: it was put there by others.`)
    }
    const secret = this.keyring.find(id)
    if (secret instanceof Promise) return secret.then(late => ({ ...pair, value: unseal(pair, { id, secret: late }) }))
    return { ...pair, value: unseal(pair, { id, secret }) }
  }
}
