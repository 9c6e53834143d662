/**
 * Whether a history of one lock, as its clients saw it, could have been made by one lock that does one thing at a time (`lock-model.ts`): each operation
 * takes effect at some moment between its call and its return.
 *
 * Where the log is known it has all that changed the lock, in an order: that order is tried first (`witness.ts`), for if what clients saw fits
 * into it there is nothing to search. Else any order will do: the search of Wing and Gong with the memo of Lowe. Of two ways to the same set of
 * operations that have taken effect and the same state of the lock, one is looked at.
 *
 * What is not known is left open: an operation of unknown outcome may have taken effect at any time after its call, or never. With a log it is known:
 * what it says has happened has, once, and what it does not say has not.
 */
import { type Deed, type Lock, model, tokenOf } from './lock-model.ts'
import { changeOf, fits } from './witness.ts'

/** `calledMs`, `returnedMs`: on one clock. Not returned: Infinity, and it need not have happened. */
export type Operation = { deed: Deed; calledMs: number; returnedMs: number; isOptional?: boolean }

/** What the log says has changed the lock: not before `fromMs`, and by `toMs`. `batch`: what is in one has come at once. */
export type Change = { deed: Deed; fromMs: number; toMs: number; batch: number }

export type Verdict =
  /** `isByLog`: the order of the log explains it, and nothing was searched. */
  | { ok: true; states: number; isByLog: boolean }
  /** `at`: the operation that no order can explain. */
  | { ok: false; states: number; at: Operation }
  /** Too much to search. */
  | { ok: null; states: number }

const STATES_MAX = 400_000

/** `changes`: all of the log, in its order; without them, what the operations are all that is known of. */
export function judgeHistory(operations: readonly Operation[], changes?: readonly Change[]): Verdict {
  if (changes && isByLog(operations, changes)) return { ok: true, states: 0, isByLog: true }
  const known = knownOf(operations, changes !== undefined)
  const all = changes ? withUntold(known, changes) : known
  return all.length === 0 ? { ok: true, states: 0, isByLog: false } : new Search(all).run()
}

/** Whether the order of the log explains it: that is soon seen. */
export function isByLog(operations: readonly Operation[], changes: readonly Change[]): boolean {
  return fits(changes, knownOf(operations, true))
}

function knownOf(operations: readonly Operation[], hasLog: boolean): Operation[] {
  return operations.filter(({ deed, isOptional }) => deed.does !== 'nothing' && !(hasLog && isOptional))
}

/** With what the log has and no client was told of; and what both know of, when both say that it was, if they agree. */
function withUntold(told: readonly Operation[], changes: readonly Change[]): Operation[] {
  const left = new Set(changes)
  const byWhat = Map.groupBy(changes, ({ deed }) => changeOf(deed))
  const operations = told.map(operation => {
    const { deed, calledMs, returnedMs } = operation
    const what = changeOf(deed)
    const same = what === null ? [] : (byWhat.get(what) ?? []).filter(change => left.has(change))
    const own = same.find(({ fromMs, toMs }) => toMs >= calledMs && fromMs <= returnedMs) ?? same[0]
    if (!own) return operation
    left.delete(own)
    const [fromMs, toMs] = [Math.max(calledMs, own.fromMs), Math.min(returnedMs, own.toMs)]
    return fromMs <= toMs ? { deed: own.deed, calledMs: fromMs, returnedMs: toMs } : { ...operation, deed: own.deed }
  })
  return [...operations, ...[...left].map(({ deed, fromMs, toMs }) => ({ deed, calledMs: fromMs, returnedMs: toMs }))]
}

type Step = {
  operation: Operation
  isCall: boolean
  index: number
  partner: Step | null
  before: Step
  after: Step | null
}

/** A step back to `lock`: `step` was taken there. */
type Taken = { step: Step; lock: Lock; isFree: boolean }

/**
 * Goes forward as long as it can, and back where it cannot. Two things keep it short, neither of which loses an order that explains the history:
 * what changes nothing is taken as soon as it can be (any order in which it comes later explains as much with it here); and tokens rise, so no grant may
 * pass one that must still come.
 */
class Search {
  readonly #head: Step
  readonly #done: BitSet
  readonly #seen = new Set<string>()
  readonly #stack: Taken[] = []
  /** Tokens that must have been granted in the end, rising. */
  readonly #tokens: number[]
  #tokensDone = 0
  #left: number
  #lock: Lock = model.initial
  #furthest: Step

  constructor(operations: readonly Operation[]) {
    this.#head = linked(operations)
    this.#done = new BitSet(operations.length)
    const required = operations.filter(({ isOptional }) => !isOptional)
    this.#left = required.length
    this.#tokens = required.flatMap(({ deed }) => tokenOf(deed) ?? []).sort((one, other) => one - other)
    this.#furthest = this.#head
  }

  run(): Verdict {
    let step = this.#head.after
    while (this.#left > 0) {
      const states = this.#seen.size
      if (states > STATES_MAX) return { ok: null, states }
      if (step?.isCall) {
        step = this.#take(step) ? this.#head.after : step.after
        continue
      }
      // A return of what has not taken effect, or the end of all.
      if (step && step.operation.returnedMs > this.#furthest.operation.returnedMs) this.#furthest = step
      const from = this.#back()
      if (!from) return { ok: false, states, at: this.#furthest.operation }
      step = from.after
    }
    return { ok: true, states: this.#seen.size, isByLog: false }
  }

  /** Lets it take effect now. False: it cannot, or that has been tried. */
  #take(step: Step): boolean {
    const { deed, isOptional } = step.operation
    const lock = this.#lock
    const next = model.apply(lock, deed)
    if (!next) return false
    const token = tokenOf(deed)
    if (token !== null && token > (this.#tokens[this.#tokensDone] ?? Number.POSITIVE_INFINITY)) return false
    const isFree = next === lock
    if (!isFree && !this.#isNew(this.#done.with(step.index), next)) return false
    this.#stack.push({ step, lock, isFree })
    this.#done.set(step.index)
    if (!isOptional) this.#left--
    if (!isOptional && token !== null) this.#tokensDone++
    this.#lock = next
    lift(step)
    return true
  }

  /** Takes back what was done last where something else can be done. Returns what it was; null: there is no such place. */
  #back(): Step | null {
    for (;;) {
      const taken = this.#stack.pop()
      if (!taken) return null
      const { step, lock, isFree } = taken
      this.#lock = lock
      const { deed, isOptional } = step.operation
      this.#done.clear(step.index)
      if (!isOptional) this.#left++
      if (!isOptional && tokenOf(deed) !== null) this.#tokensDone--
      lower(step)
      if (!isFree) return step
    }
  }

  #isNew(done: string, lock: Lock): boolean {
    const { size } = this.#seen
    return this.#seen.add(`${done} ${model.key(lock)}`).size > size
  }
}

/** Calls and returns in the order of time; a call comes before a return of the same moment. */
function linked(operations: readonly Operation[]): Step {
  const steps: { atMs: number; step: Step }[] = []
  const nowhere = null as unknown as Step // set below
  operations.forEach((operation, index) => {
    const call: Step = { operation, isCall: true, index, partner: null, before: nowhere, after: null }
    steps.push({ atMs: operation.calledMs, step: call })
    if (operation.isOptional) return
    const end: Step = { operation, isCall: false, index, partner: null, before: nowhere, after: null }
    call.partner = end
    steps.push({ atMs: operation.returnedMs, step: end })
  })
  steps.sort((one, other) => one.atMs - other.atMs || Number(other.step.isCall) - Number(one.step.isCall))
  const head: Step = {
    operation: operations[0] as Operation,
    isCall: true,
    index: -1,
    partner: null,
    before: nowhere,
    after: null,
  }
  let last = head
  for (const { step } of steps) {
    last.after = step
    step.before = last
    last = step
  }
  return head
}

/** Takes the call and its return out. */
function lift(step: Step): void {
  for (const one of step.partner ? [step, step.partner] : [step]) {
    one.before.after = one.after
    if (one.after) one.after.before = one.before
  }
}

/** Puts them back, the last taken first. */
function lower(step: Step): void {
  for (const one of step.partner ? [step.partner, step] : [step]) {
    one.before.after = one
    if (one.after) one.after.before = one
  }
}

class BitSet {
  readonly #words: Uint32Array

  constructor(size: number) {
    this.#words = new Uint32Array((size + 31) >>> 5)
  }

  set(index: number): void {
    this.#words[index >>> 5]! |= 1 << (index & 31)
  }

  clear(index: number): void {
    this.#words[index >>> 5]! &= ~(1 << (index & 31))
  }

  /** As text. Begins where not all is set: what lies before is the same in all that are compared. */
  text(): string {
    const words = this.#words
    let from = 0
    while (words[from] === 0xffffffff) from++
    let to = words.length
    while (to > from && words[to - 1] === 0) to--
    let text = `${from}`
    for (let place = from; place < to; place++) text += `,${words[place]}`
    return text
  }

  /** With one more. */
  with(index: number): string {
    this.set(index)
    const text = this.text()
    this.clear(index)
    return text
  }
}
