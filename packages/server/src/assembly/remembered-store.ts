/**
 * What this server has last seen of a store that others keep: which one it was, and how far it had come. It is written to the data directory, so that a
 * store that somebody has put back in time is noticed at the next start too, before anything is granted on it (SAFETY O4).
 *
 * A restore by `holdfast cluster restore` makes a new cluster in a new store, above every number that was given out: that is no going back. A new cluster in
 * the *same* store is: etcd members that began anew without their data have its id, and nothing of what was in it.
 */
import { readFileSync } from 'node:fs'
import { mkdir, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type Cancel, type Clock, every } from '../clock.ts'

/** How often it is written, if there is anything new. What happens after the last time is not noticed, only what happened before. */
const WRITE_MS = 5_000

export type StoreFacts = {
  /** Of Holdfast: made with the cluster, and anew by a restore of ours. */
  cluster: string
  /** The store's own id, in hexadecimal. */
  store: string
  revision: number
  /** The highest of each shard that has been seen, by its number. Tokens are made of them: the same epoch twice would give the same tokens twice. */
  epochs: readonly number[]
}

/** The store has gone back, or is another one under the same name. */
export class StoreWentBack extends Error {
  override readonly name = 'StoreWentBack'
}

/** What the directory was used for before: `another` cluster in another store, `this` one, or nothing that it remembers. */
export type LastUse = 'none' | 'this' | 'another'

type Alarm = (what: string, error: unknown) => void
type RememberedStoreOptions = { path: string; clock: Clock; now: () => StoreFacts; alarm: Alarm }

export class RememberedStore {
  readonly #path: string
  readonly #clock: Clock
  readonly #now: () => StoreFacts
  readonly #alarm: Alarm
  #written = ''
  #isFailing = false
  #cancel: Cancel = () => undefined
  /** One at a time. */
  #writing: Promise<void> = Promise.resolve()

  constructor({ path, clock, now, alarm }: RememberedStoreOptions) {
    this.#path = path
    this.#clock = clock
    this.#now = now
    this.#alarm = alarm
  }

  /** @throws StoreWentBack */
  check(): LastUse {
    const known = this.#read()
    const now = this.#now()
    if (!known) return 'none'
    if (known.cluster !== now.cluster && known.store !== now.store) return 'another'
    const advice = `If that is meant, and every token that was given out is known to be below those to come, delete ${this.#path}; \`holdfast cluster restore\` takes care of it by itself.`
    if (known.store !== now.store) {
      throw new StoreWentBack(
        `The store is ${now.store} and was ${known.store}, with the same Holdfast cluster in it: it has been copied or restored by other means. ${advice}`,
      )
    }
    if (known.cluster !== now.cluster) {
      throw new StoreWentBack(
        `The store is ${now.store} as before, at revision ${now.revision} (it was at ${known.revision}), and another Holdfast cluster is in it: what was in it is gone, or servers have been given another \`--root\`. ${advice}`,
      )
    }
    if (now.revision < known.revision) {
      throw new StoreWentBack(
        `The store is at revision ${now.revision} and was at ${known.revision}: it has gone back in time. ${advice}`,
      )
    }
    // etcd's own restore can make revisions go on, with what was written at earlier ones.
    const shard = known.epochs.findIndex((epoch, index) => (now.epochs[index] ?? 0) < epoch)
    if (shard !== -1) {
      throw new StoreWentBack(
        `Shard ${shard} is in epoch ${now.epochs[shard] ?? 0} and was in ${known.epochs[shard]}: the store has been put back in time, though its revisions have gone on. ${advice}`,
      )
    }
    return 'this'
  }

  /** There is something new that must not be forgotten: it is written soon. */
  note(): void {
    void this.#writeNext()
  }

  /** Writes now, and from time to time. @throws when it cannot be written now: then nothing would be noticed at the next start. */
  async start(): Promise<void> {
    await this.#write()
    this.#cancel = every(this.#clock, WRITE_MS, () => this.#writeNext())
  }

  /** When it has been written for the last time, or could not be. Never rejects. */
  stop(): Promise<void> {
    this.#cancel()
    return this.#writeNext()
  }

  #writeNext(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#tryToWrite())
    return this.#writing
  }

  /** Never rejects: a full disk is no reason to end a server whose store is elsewhere. What was written before still stands, only older. */
  async #tryToWrite(): Promise<void> {
    try {
      await this.#write()
      this.#isFailing = false
    } catch (error) {
      // Once for each time that it begins to fail.
      if (!this.#isFailing) this.#alarm(`How far the store has come cannot be written to ${this.#path}.`, error)
      this.#isFailing = true
    }
  }

  /** On the disk before it has its name: else a power cut might leave the name with nothing under it. In threads of the pool, for a disk may be slow. */
  async #write(): Promise<void> {
    const text = `${JSON.stringify(this.#now())}\n`
    if (text === this.#written) return
    const folder = dirname(this.#path)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await using file = await open(`${this.#path}.new`, 'w', 0o600)
    await file.writeFile(text)
    await file.sync()
    await rename(`${this.#path}.new`, this.#path)
    await using names = await open(folder, 'r')
    await names.sync()
    this.#written = text
  }

  #read(): StoreFacts | null {
    let text: string
    try {
      text = readFileSync(this.#path, 'utf8')
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
      throw error
    }
    // Before there were epochs in it, there were none.
    const { cluster, store, revision, epochs = [] } = fieldsIn(text)
    if (typeof cluster !== 'string' || typeof store !== 'string' || typeof revision !== 'number' || !isNumbers(epochs))
      throw new Error(`${this.#path} is damaged; delete it if the store is known to be the same as ever.`)
    return { cluster, store, revision, epochs }
  }
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(one => typeof one === 'number')
}

/** None, if it is something else. */
function fieldsIn(text: string): Partial<Record<keyof StoreFacts, unknown>> {
  try {
    return JSON.parse(text) ?? {}
  } catch {
    // Cut short, or empty.
    return {}
  }
}
