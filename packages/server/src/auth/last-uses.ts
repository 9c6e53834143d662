/** When each credential was last used: kept in memory and handed on now and then, for nobody waits for it to be stored and a crash may lose a minute. */
import type { Cancel, Clock } from '../clock.ts'

/** How often it is handed on, if there is anything new. */
const FLUSH_MS = 60_000

export type LastUse = { credential: string; atMs: number }

export type LastUsesOptions = {
  clock: Clock
  /** Stores them. One that rejects is asked again with the same, and what came since, a minute later. */
  store: (uses: readonly LastUse[]) => void | Promise<void>
  warn: (message: string, fields: Record<string, unknown>) => void
}

export class LastUses {
  readonly #options: LastUsesOptions
  /** Bounded by the credentials there are: only those that were proved are noted. */
  #uses = new Map<string, number>()
  #cancel: Cancel | null = null
  #isClosed = false

  constructor(options: LastUsesOptions) {
    this.#options = options
  }

  note(credential: string): void {
    if (this.#isClosed) return
    const { clock } = this.#options
    this.#uses.set(credential, clock.wallMs())
    this.#cancel ??= clock.after(FLUSH_MS, () => void this.#flush())
  }

  /** Resolves when what was noted has been handed on. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#flush()
  }

  async #flush(): Promise<void> {
    this.#cancel?.()
    this.#cancel = null
    const uses = this.#uses
    this.#uses = new Map()
    if (uses.size === 0) return
    try {
      await this.#options.store([...uses].map(([credential, atMs]) => ({ credential, atMs })))
    } catch (error) {
      this.#options.warn('when credentials were last used could not be stored', { err: error })
      this.#keep(uses)
    }
  }

  #keep(uses: Map<string, number>): void {
    for (const [credential, atMs] of uses) if (!this.#uses.has(credential)) this.#uses.set(credential, atMs)
    if (!this.#isClosed) this.#cancel ??= this.#options.clock.after(FLUSH_MS, () => void this.#flush())
  }
}
