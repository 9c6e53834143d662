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
  if (known.length === 0) return { ok: true, states: 0 }
  return search([...known, ...endingsOf(known)])
}

/** Each grant may end without its holder's doing. */
function endingsOf(operations: readonly Operation[]): Operation[] {
  return operations.flatMap(({ deed, calledMs }) => {
    if (deed.does !== 'acquire' && deed.does !== 'transfer') return []
    const token = deed.does === 'acquire' ? deed.token : deed.to
    return [{ deed: { does: 'release', token }, calledMs, returnedMs: Number.POSITIVE_INFINITY, isOptional: true }]
  })
}

function search(operations: readonly Operation[]): Verdict {
  const head = linked(operations)
  const required = operations.filter(({ isOptional }) => !isOptional).length
  let lock: Lock = { token: 0, last: 0, value: null }
  const done = new BitSet(operations.length)
  const seen = new Set<string>()
  const stack: { step: Step; lock: Lock }[] = []
  let count = 0
  let furthest = head.after
  let step = head.after
  while (count < required) {
    if (seen.size > STATES_MAX) return { ok: null, states: seen.size }
    if (step?.isCall) {
      const next = effect(lock, step.operation.deed)
      if (next && isNew(seen, done.with(step.index), next)) {
        stack.push({ step, lock })
        done.set(step.index)
        if (!step.operation.isOptional) count++
        lock = next
        lift(step)
        step = head.after
        continue
      }
      step = step.after
      continue
    }
    // A return of what has not taken effect, or the end: go back.
    if (step && (!furthest || step.operation.returnedMs > furthest.operation.returnedMs)) furthest = step
    const last = stack.pop()
    if (!last) return { ok: false, states: seen.size, at: (step ?? furthest ?? head).operation }
    done.clear(last.step.index)
    if (!last.step.operation.isOptional) count--
    lock = last.lock
    lower(last.step)
    step = last.step.after
  }
  return { ok: true, states: seen.size }
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

function isNew(seen: Set<string>, done: string, { token, last, value }: Lock): boolean {
  const state = `${done} ${token} ${last} ${value}`
  if (seen.has(state)) return false
  seen.add(state)
  return true
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

  /** As text, with one more. Begins where not all is set: what lies before is the same in all that are compared. */
  with(index: number): string {
    this.set(index)
    let from = 0
    while (this.#words[from] === 0xffffffff) from++
    let to = this.#words.length
    while (to > from && this.#words[to - 1] === 0) to--
    const text = `${from}:${this.#words.subarray(from, to).join()}`
    this.clear(index)
    return text
  }
}
