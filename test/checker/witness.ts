/**
 * Whether what clients saw of a lock fits into the order in which the log says that it changed. If it does, that order is a proof: each operation has
 * a moment between its call and its return.
 *
 * Changes are made as late as can be: when the log had them at the latest, or when an operation returns that none of the states so far explains.
 * That loses nothing: in any other way through the same order each change is made no later, so whatever state a client finds there between its
 * call and its return, this way either comes to in that time too, or is still before it and is driven on to it, at most.
 */
import type { Change, Operation } from './linear.ts'
import { type Deed, type Lock, model } from './lock-model.ts'

/** By which a change and the operation of a client that made it are known for the same; null: it changes nothing, or nobody need have asked for it. */
export function changeOf(deed: Deed): string | null {
  switch (deed.does) {
    case 'acquire':
      return `acquire ${deed.token} ${deed.claim?.mode ?? 'exclusive'} ${deed.claim?.permits ?? 1}`
    case 'transfer':
      return `transfer ${deed.token} ${deed.to}`
    case 'write':
      return `write ${deed.token} ${deed.value}`
    default:
      return null
  }
}

export function fits(changes: readonly Change[], operations: readonly Operation[]): boolean {
  const order = new Order(changes)
  for (const { operation, isCall, atMs } of happenings(operations)) {
    if (!order.passTo(atMs)) return false
    if (isCall) order.call(operation)
    else if (!order.return(operation)) return false
  }
  return order.passTo(Number.POSITIVE_INFINITY)
}

/** Those of the operations for which there may have been a moment, each looked at by itself. */
export function possible(changes: readonly Change[], operations: readonly Operation[]): Set<Operation> {
  const dueMs = duesOf(changes)
  const found = new Set<Operation>()
  let lock = model.initial
  let sinceMs = Number.NEGATIVE_INFINITY
  for (let made = 0; ; made++) {
    const change = changes[made]
    for (const operation of operations) {
      const { deed, calledMs, returnedMs } = operation
      const isThen = returnedMs >= sinceMs && (!change || calledMs <= dueMs[made]!)
      if (isThen && model.apply(lock, deed) === lock) found.add(operation)
    }
    const next = change && model.apply(lock, change.deed)
    if (!next) return found
    lock = next
    sinceMs = Math.max(sinceMs, change.fromMs)
  }
}

class Order {
  readonly #changes: readonly Change[]
  readonly #dueMs: Float64Array
  /** Called, and not yet explained; with what it changes. */
  readonly #pending = new Map<Operation, string | null>()
  #made = 0
  #lock: Lock = model.initial

  constructor(changes: readonly Change[]) {
    this.#changes = changes
    this.#dueMs = duesOf(changes)
  }

  /** What is due at the moment itself may still come behind what is called then. */
  passTo(atMs: number): boolean {
    while (this.#made < this.#changes.length && this.#dueMs[this.#made]! < atMs)
      if (!this.#makeNext(this.#dueMs[this.#made]!)) return false
    return true
  }

  call(operation: Operation): void {
    const what = changeOf(operation.deed)
    if (what !== null || !this.#isSeen(operation)) this.#pending.set(operation, what)
  }

  /** False: nothing that may have come by then explains it. */
  return(operation: Operation): boolean {
    while (this.#pending.has(operation)) if (!this.#makeNext(operation.returnedMs)) return false
    return true
  }

  /** False: there is none that can be made then. */
  #makeNext(atMs: number): boolean {
    const change = this.#changes[this.#made]
    const next = change && change.fromMs <= atMs ? model.apply(this.#lock, change.deed) : null
    if (!change || !next) return false
    this.#made++
    this.#lock = next
    const made = changeOf(change.deed)
    let own: Operation | null = null
    for (const [operation, what] of this.#pending) {
      if (what === null) {
        if (this.#isSeen(operation)) this.#pending.delete(operation)
        // One change is one operation: of several it is the one that has the least time left.
      } else if (what === made && (!own || operation.returnedMs < own.returnedMs)) own = operation
    }
    if (own) this.#pending.delete(own)
    return true
  }

  #isSeen({ deed }: Operation): boolean {
    return model.apply(this.#lock, deed) === this.#lock
  }
}

/** By when each must have been made, as those behind it come after it. */
function duesOf(changes: readonly Change[]): Float64Array {
  const duesMs = new Float64Array(changes.length)
  let dueMs = Number.POSITIVE_INFINITY
  for (let place = changes.length - 1; place >= 0; place--) {
    dueMs = Math.min(dueMs, changes[place]!.toMs)
    duesMs[place] = dueMs
  }
  return duesMs
}

type Happening = { operation: Operation; isCall: boolean; atMs: number }

/** In the order of time; a call comes before a return of the same moment. */
function happenings(operations: readonly Operation[]): Happening[] {
  const all = operations.flatMap(operation => [
    { operation, isCall: true, atMs: operation.calledMs },
    { operation, isCall: false, atMs: operation.returnedMs },
  ])
  return all.sort((one, other) => one.atMs - other.atMs || Number(other.isCall) - Number(one.isCall))
}
