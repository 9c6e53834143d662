/**
 * Who held a lock at some time, who waited for it, and how it went on.
 *
 * Backwards from that time: an end says that a grant was over; a grant without an end, or one that the cleaner carried, says that it was held. An
 * exclusive grant settles it, for nobody can have held the lock beside it. Then forwards from there, until the ends of those have been found.
 */
import type { Clock } from '../clock.ts'
import type { Grant, Waiter } from '../locks/model.ts'
import { batchText, parseBatch } from '../shards/batch.ts'
import { CLOCK_SLACK_MS, mayHold } from './filter.ts'
import { type BatchHead, headerOf } from './header.ts'
import type { LogReader } from './reading.ts'
import { Budget } from './scanning.ts'

export type Hold = {
  token: number
  mode: Grant['mode']
  holder: string
  session: string
  /** Wall time, ms. */
  sinceMs: number
  /** null: it goes on, or its end is not known. */
  untilMs: number | null
  /** How it ended: `released`, `expired`, `preempted`, … */
  ended: string | null
  reason: string | null
}

export type Wait = { ticket: number; holder: string; session: string; sinceMs: number }
export type HeldAt = {
  holds: Hold[]
  waits: Wait[]
  isComplete: boolean
  /** Wall time, ms: it may have been taken before what is kept begins, and not be told for that. null: what is kept settles it, or not all was looked at. */
  knownSinceMs: number | null
}

/** Text that is looked through, in each direction. */
const SCAN_BYTES = 64 * 1024 * 1024
/** Beyond the grant that settles who held it: who waits behind it may have come before. */
const WAITS_BYTES = 16 * 1024 * 1024

type Question = { instance: string; lock: string; atMs: number }
type Looked = { reader: LogReader; clock: Clock }

export async function heldAt(looked: Looked, question: Question): Promise<HeldAt> {
  const past = new Past(question)
  const { isSettled, knownSinceMs } = await lookBack(looked, question, past)
  const holds = [...past.holds.values()]
  const isEnded = holds.length === 0 || (await lookAhead(looked, question, past.holds))
  return { holds, waits: [...past.waits.values()], isComplete: isSettled && isEnded, knownSinceMs }
}

type Seen = { /** All that matters has been seen. */ isSettled: boolean; knownSinceMs: number | null }

async function lookBack({ reader, clock }: Looked, question: Question, past: Past): Promise<Seen> {
  const { instance, lock, atMs } = question
  let budget = new Budget(SCAN_BYTES, clock)
  let isSettled = false
  let oldest: BatchHead | null = null
  const index = await reader.index()
  const late = index.segments.find(({ at }) => at >= atMs + CLOCK_SLACK_MS)
  for await (const group of reader.backward(late ? late.last + 1 : Number.MAX_SAFE_INTEGER - 1)) {
    for (const { bytes } of group) {
      const text = batchText(bytes)
      await budget.spend(text.length)
      const header = headerOf(text)
      oldest = header ?? oldest
      if ((header?.at ?? 0) <= atMs && mayHold({ instance, lock }, text)) past.look(parseBatch(text))
      if (past.isSettled && !isSettled) budget = new Budget(WAITS_BYTES, clock)
      isSettled = past.isSettled
      if (budget.isUsedUp) return { isSettled, knownSinceMs: null }
    }
  }
  // The cleaner and the archive's bounds cut the old end off. What was taken there, and has not been carried since, stands nowhere any more.
  const isCut = oldest !== null && oldest.seq > 0
  if (isSettled || !isCut) return { isSettled: true, knownSinceMs: null }
  return { isSettled: false, knownSinceMs: oldest?.at ?? null }
}

/** Returns whether all ends have been found, or there is nothing more to look at. */
async function lookAhead(
  { reader, clock }: Looked,
  { instance, lock, atMs }: Question,
  holds: Map<number, Hold>,
): Promise<boolean> {
  const budget = new Budget(SCAN_BYTES, clock)
  const { segments } = await reader.index()
  const first = segments.find(({ at }) => at >= atMs)?.first ?? (segments.at(-1)?.last ?? -1) + 1
  let open = holds.size
  for await (const group of reader.forward(first)) {
    for (const { bytes } of group) {
      const text = batchText(bytes)
      await budget.spend(text.length)
      if ((headerOf(text)?.at ?? 0) <= atMs || !mayHold({ instance, lock }, text)) continue
      const batch = parseBatch(text)
      for (const [name, ...entries] of batch.entries) {
        for (const entry of entries) {
          if (name !== instance || entry.record !== 'grant' || entry.value !== null || entry.lock !== lock) continue
          const hold = holds.get(entry.token)
          if (!hold || hold.untilMs !== null) continue
          hold.untilMs = batch.at
          hold.ended = entry.type
          hold.reason = entry.why?.reason ?? null
          open--
        }
      }
      if (open === 0) return true
      if (budget.isUsedUp) return false
    }
  }
  return true
}

/** What is known of the time before, newest first. */
class Past {
  readonly holds = new Map<number, Hold>()
  readonly waits = new Map<number, Wait>()
  readonly #ended = new Set<number>()
  readonly #left = new Set<number>()
  readonly #question: Question
  isSettled = false

  constructor(question: Question) {
    this.#question = question
  }

  look(batch: ReturnType<typeof parseBatch>): void {
    const { instance, lock } = this.#question
    // Within a batch too the newest comes first; what was carried was true before all of it.
    for (const groups of [batch.entries, batch.carried]) {
      for (const [name, ...entries] of [...groups].reverse()) {
        if (name !== instance) continue
        for (const entry of entries.reverse()) {
          if (entry.record === 'grant' && entry.lock === lock) this.#grant(entry.token, entry.value)
          else if (entry.record === 'wait' && entry.locks.includes(lock)) this.#wait(entry.ticket, entry.value)
        }
      }
    }
  }

  #grant(token: number, value: Grant | null): void {
    if (value === null) this.#ended.add(token)
    else if (!this.#ended.has(token) && !this.holds.has(token)) {
      const { mode, holder, session, at } = value
      this.holds.set(token, { token, mode, holder, session, sinceMs: at, untilMs: null, ended: null, reason: null })
    }
    if (value?.mode === 'exclusive') this.isSettled = true
  }

  #wait(ticket: number, value: Waiter | null): void {
    if (value === null) this.#left.add(ticket)
    else if (!this.#left.has(ticket) && !this.waits.has(ticket))
      this.waits.set(ticket, { ticket, holder: value.holder, session: value.session, sinceMs: value.at })
  }
}
