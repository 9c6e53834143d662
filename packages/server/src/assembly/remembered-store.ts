/**
 * What this server has last seen of a store that others keep: which one it was, and how far it had come. It is written to the data directory, so that a
 * store that somebody has put back in time is noticed at the next start too, before anything is granted on it (SAFETY O4).
 *
 * A restore by `holdfast cluster restore` makes a new cluster in a new store, above every number that was given out: that is no going back. A new cluster in
 * the *same* store is: etcd members that began anew without their data have its id, and nothing of what was in it.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Clock } from '../clock.ts'

/** How often it is written, if there is anything new. What happens after the last time is not noticed, only what happened before. */
const WRITE_MS = 5_000

export type StoreFacts = {
  /** Of Holdfast: made with the cluster, and anew by a restore of ours. */
  cluster: string
  /** The store's own id, in hexadecimal. */
  store: string
  revision: number
}

/** The store has gone back, or is another one under the same name. */
export class StoreWentBack extends Error {
  override readonly name = 'StoreWentBack'
}

type Alarm = (what: string, error: unknown) => void
type RememberedStoreOptions = { path: string; clock: Clock; now: () => StoreFacts; alarm: Alarm }

export class RememberedStore {
  readonly #path: string
  readonly #clock: Clock
  readonly #now: () => StoreFacts
  readonly #alarm: Alarm
  #written = ''
  #isFailing = false
  #cancel: () => void = () => undefined

  constructor({ path, clock, now, alarm }: RememberedStoreOptions) {
    this.#path = path
    this.#clock = clock
    this.#now = now
    this.#alarm = alarm
  }

  /** @throws StoreWentBack */
  check(): void {
    const known = this.#read()
    const now = this.#now()
    if (!known || (known.cluster !== now.cluster && known.store !== now.store)) return
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
  }

  /** Writes now, and from time to time. @throws when it cannot be written now: then nothing would be noticed at the next start. */
  start(): void {
    this.#write()
    this.#writeLater()
  }

  stop(): void {
    this.#cancel()
    this.#tryToWrite()
  }

  #writeLater(): void {
    this.#cancel = this.#clock.after(WRITE_MS, () => {
      this.#tryToWrite()
      this.#writeLater()
    })
  }

  /** Never throws: a full disk is no reason to end a server whose store is elsewhere. What was written before still stands, only older. */
  #tryToWrite(): void {
    try {
      this.#write()
      this.#isFailing = false
    } catch (error) {
      // Once for each time that it begins to fail.
      if (!this.#isFailing) this.#alarm(`How far the store has come cannot be written to ${this.#path}.`, error)
      this.#isFailing = true
    }
  }

  #write(): void {
    const text = `${JSON.stringify(this.#now())}\n`
    if (text === this.#written) return
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 })
    writeFileSync(`${this.#path}.new`, text, { mode: 0o600 })
    renameSync(`${this.#path}.new`, this.#path)
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
    const facts = (JSON.parse(text) ?? {}) as Partial<StoreFacts> // looked at field by field right below
    if (typeof facts.cluster !== 'string' || typeof facts.store !== 'string' || typeof facts.revision !== 'number')
      throw new Error(`${this.#path} is damaged; delete it if the store is known to be the same as ever.`)
    return { cluster: facts.cluster, store: facts.store, revision: facts.revision }
  }
}
