/**
 * Whether a history of one lock, as its clients saw it, could have been made by one lock that does one thing at a time: each operation takes effect at
 * some moment between its call and its return. The search of Wing and Gong with the memo of Lowe: of two ways to the same set of operations that
 * have taken effect and the same state of the lock, one is looked at.
 *
 * It knows nothing of the core. What it does not know it leaves open: an operation of unknown outcome may have taken effect at any time after its
 * call, or never; and a grant may end by itself at any time, for sessions expire and operators force. Grants that no client was told of are
 * given to it as such by whoever has the log: it only knows from when on they may have been.
 */

export type Deed =
  | { does: 'acquire'; token: number }
  | { does: 'release'; token: number }
  /** It is no longer held under this token: released now, or ended before. */
  | { does: 'leave'; token: number }
  | { does: 'transfer'; token: number; to: number }
  /** Somebody or nobody holds it: what a refusal or a look at it said. */
  | { does: 'see'; held: number | 'somebody' | null }
  /** It is not held under this token. */
  | { does: 'miss'; token: number }
  /** The value of the lock was written by its holder, or read. */
  | { does: 'write'; token: number; value: string }
  | { does: 'read'; value: string | null }
  | { does: 'nothing' }

/** `calledMs`, `returnedMs`: on one clock. Not returned: Infinity, and it need not have happened. */
export type Operation = { deed: Deed; calledMs: number; returnedMs: number; isOptional?: boolean }

export type Verdict =
  | { ok: true; states: number }
  /** `at`: the operation that no order can explain. */
  | { ok: false; states: number; at: Operation }
  /** Too much to search. */
  | { ok: null; states: number }

const STATES_MAX = 400_000

type Lock = { token: number; last: number; value: string | null }

type Step = {
  operation: Operation
  isCall: boolean
  index: number
  partner: Step | null
  before: Step
  after: Step | null
}

export function judgeHistory(operations: readonly Operation[]): Verdict {
  const known = operations.filter(({ deed }) => deed.does !== 'nothing')
  return known.length === 0 ? { ok: true, states: 0 } : new Search(known).run()
}

/** A step back to `lock`: `step` was taken there, or, if it is null, the grant ended by itself. */
type Taken = { step: Step | null; lock: Lock; isFree: boolean }

/**
 * Goes forward as long as it can, and back where it cannot. Three things keep it short, none of which loses an order that explains the history:
 * what changes nothing is taken as soon as it can be (any order in which it comes later explains as much with it here); tokens rise, so no grant may
 * pass one that must still come; and when a client says that it has left, that is how its grant ended, and not by itself before.
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
  #lock: Lock = { token: 0, last: 0, value: null }
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
      if (this.#end()) {
        step = this.#head.after
        continue
      }
      const from = this.#back()
      if (!from) return { ok: false, states, at: this.#furthest.operation }
      step = from.after
    }
    return { ok: true, states: this.#seen.size }
  }

  /** Lets it take effect now. False: it cannot, or that has been tried. */
  #take(step: Step): boolean {
    const { deed, isOptional } = step.operation
    const lock = this.#lock
    const next = effect(lock, deed)
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

  /** The grant ends without its holder's doing, as any may at any time. */
  #end(): boolean {
    const lock = this.#lock
    if (lock.token === 0) return false
    for (let step = this.#head.after; step?.isCall; step = step.after) {
      const { deed } = step.operation
      if (deed.does === 'leave' && deed.token === lock.token) return false
    }
    const next = { ...lock, token: 0 }
    if (!this.#isNew(this.#done.text(), next)) return false
    this.#stack.push({ step: null, lock, isFree: false })
    this.#lock = next
    return true
  }

  /** Takes back what was done last where something else can be done. Returns what it was; null: there is no such place. */
  #back(): Step | null {
    for (;;) {
      const taken = this.#stack.pop()
      if (!taken) return null
      const { step, lock, isFree } = taken
      this.#lock = lock
      if (!step) continue
      const { deed, isOptional } = step.operation
      this.#done.clear(step.index)
      if (!isOptional) this.#left++
      if (!isOptional && tokenOf(deed) !== null) this.#tokensDone--
      lower(step)
      if (!isFree) return step
    }
  }

  #isNew(done: string, { token, value }: Lock): boolean {
    // `last` is the highest token of what has been done.
    const state = `${done} ${token} ${value}`
    const { size } = this.#seen
    return this.#seen.add(state).size > size
  }
}

/** Of the grant that it makes. */
function tokenOf(deed: Deed): number | null {
  return deed.does === 'acquire' ? deed.token : deed.does === 'transfer' ? deed.to : null
}

/** The lock after the deed; null: it cannot be done now. */
function effect(lock: Lock, deed: Deed): Lock | null {
  switch (deed.does) {
    case 'acquire':
      return lock.token === 0 && deed.token > lock.last ? { ...lock, token: deed.token, last: deed.token } : null
    case 'release':
      return lock.token === deed.token ? { ...lock, token: 0 } : null
    case 'leave':
      return lock.token === deed.token ? { ...lock, token: 0 } : lock
    case 'transfer':
      return lock.token === deed.token && deed.to > lock.last ? { ...lock, token: deed.to, last: deed.to } : null
    case 'miss':
      return lock.token === deed.token ? null : lock
    case 'see':
      if (deed.held === null) return lock.token === 0 ? lock : null
      if (deed.held === 'somebody') return lock.token === 0 ? null : lock
      return lock.token === deed.held ? lock : null
    case 'write':
      return lock.token === deed.token ? { ...lock, value: deed.value } : null
    case 'read':
      return lock.value === deed.value ? lock : null
    case 'nothing':
      return lock
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
