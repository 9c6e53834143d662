/**
 * What changed nothing, on its way into the trail: denials. They are told in bunches, for who may do nothing may ask for much; what is beyond the bounds is counted,
 * for each instance, so that nobody's noise hides what was tried elsewhere. As long as there is more than that, bunches come less and less often; and who is
 * refused again and again, though never often, has only so many of them at once: the trail has only so many links, and the store only so much room.
 */
import type { Cancel, Clock } from '../clock.ts'
import type { Deed } from './port.ts'

/** Of one bunch; more are counted. */
export const DENIALS_MAX = 100
/** Of one instance in it. */
export const INSTANCE_DENIALS_MAX = 20
/** Between two bunches. */
const DENIALS_MS = 1_000
/** The same, while each is too large. */
export const DENIALS_MS_MAX = 60_000
/** So many come when they are due; from then on one in DENIALS_MS_MAX, which is how they are made up for too. */
export const DENIAL_BUNCHES_MAX = 60
/** Of what a client calls its request. */
export const DENIAL_TRACE_CHARS_MAX = 128

type Lost = { deed: Deed; count: number }

export class Denials {
  readonly #clock: Pick<Clock, 'after' | 'hrtimeMs'>
  readonly #write: (deeds: Deed[]) => Promise<void>
  #deeds: Deed[] = []
  /** The last of those that are not kept, and how many they are, by instance. */
  #lost = new Map<string | null, Lost>()
  #delayMs = DENIALS_MS
  #bunches = DENIAL_BUNCHES_MAX
  /** Since when another one is being made up for. */
  #sinceMs: number
  #cancel: Cancel | null = null
  #isWriting = false

  /** `write` never rejects. */
  constructor(clock: Pick<Clock, 'after' | 'hrtimeMs'>, write: (deeds: Deed[]) => Promise<void>) {
    this.#clock = clock
    this.#sinceMs = clock.hrtimeMs()
    this.#write = write
  }

  note(noted: Deed): void {
    const deed = { ...noted, trace: noted.trace.slice(0, DENIAL_TRACE_CHARS_MAX) }
    const { instance } = deed
    const own = this.#deeds.reduce((count, other) => count + Number(other.instance === instance), 0)
    if (own < INSTANCE_DENIALS_MAX && this.#deeds.length < DENIALS_MAX) this.#deeds.push(deed)
    else this.#lose(deed)
    // One bunch at a time: a store that is away gets one when it is back, and not all that would have been written.
    if (!this.#isWriting) this.#flushLater()
  }

  /** Writes what there is. Never rejects. */
  async flush(): Promise<void> {
    this.#cancel?.()
    this.#cancel = null
    const [deeds, lost] = [this.#deeds, this.#lost]
    if (deeds.length === 0 || this.#isWriting) return
    this.#deeds = []
    this.#lost = new Map()
    this.#delayMs = lost.size > 0 ? Math.min(DENIALS_MS_MAX, this.#delayMs * 2) : DENIALS_MS
    for (const { deed, count } of lost.values())
      deeds.push({ ...deed, target: '', trace: '', reason: `and ${count} more in the same second or minute` })
    this.#makeUp()
    this.#bunches = Math.max(0, this.#bunches - 1)
    this.#isWriting = true
    await this.#write(deeds)
    this.#isWriting = false
    if (this.#deeds.length > 0) this.#flushLater()
  }

  #flushLater(): void {
    if (this.#cancel) return
    this.#makeUp()
    const delayMs = this.#bunches > 0 ? this.#delayMs : DENIALS_MS_MAX
    this.#cancel = this.#clock.after(delayMs, () => void this.flush())
  }

  #makeUp(): void {
    const madeUp = Math.floor((this.#clock.hrtimeMs() - this.#sinceMs) / DENIALS_MS_MAX)
    this.#sinceMs += madeUp * DENIALS_MS_MAX
    this.#bunches = Math.min(DENIAL_BUNCHES_MAX, this.#bunches + madeUp)
  }

  close(): void {
    this.#cancel?.()
    this.#cancel = null
  }

  #lose(deed: Deed): void {
    const lost = this.#lost.get(deed.instance)
    // Of how many instances it is counted is bounded too.
    if (lost || this.#lost.size < DENIALS_MAX) this.#lost.set(deed.instance, { deed, count: (lost?.count ?? 0) + 1 })
  }
}
