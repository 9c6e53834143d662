/**
 * What clients saw of each lock, and what the log says has become of it; and whether one lock that does one thing at a time could have been seen so
 * (I12). A set of locks is in the history of each of them: its grants have one moment, as they are in one batch (I14), and who was refused a set
 * could not have had one of its locks.
 */
import { Violation } from './judge.ts'
import { type Change, isByLog, judgeHistory, type Operation } from './linear.ts'
import type { Claim, Deed } from './lock-model.ts'
import type { Written } from './log.ts'
import { changeOf, possible } from './witness.ts'

type History = { operations: Operation[]; changes: Change[]; handedOn: number | null }
type Window = { fromMs: number; toMs: number }
/** What was answered without a commit by whoever was asked then, and heard then, may have been wrong: by a server whose clocks had been frozen. */
export type Doubts = { isDoubtful(exchange: { sentMs: number; heardMs: number }): boolean }
const none: Doubts = { isDoubtful: () => false }

export class Histories {
  readonly counts = {
    /** Operations of clients that were judged. */
    operations: 0,
    /** Histories that do not fit into the order of the log, for which another was searched; states that were looked at. */
    searched: 0,
    states: 0,
    /** Histories that were too long for it. */
    undecided: 0,
  }
  /** Histories, and sets, that nothing explains but such doubts. */
  owed = 0
  readonly #histories = new Map<string, History>()

  of(lock: string, instance: string): Operation[] {
    return this.#history(lock, instance).operations
  }

  /** `fromMs`, `toMs`: the commit was then. */
  wrote({ entry, instance, place }: Written, window: Window): void {
    switch (entry.record) {
      case 'grant': {
        const history = this.#history(entry.lock, instance)
        const add = (deed: Deed) => void history.changes.push({ deed, ...window, batch: place })
        const { token, value, type } = entry
        if (value === null && type === 'transferred') history.handedOn = token
        else if (value === null) add({ does: 'leave', token })
        else if (type === 'granted' && history.handedOn !== null) {
          add({ does: 'transfer', token: history.handedOn, to: token })
          history.handedOn = null
        } else if (type === 'granted') add({ does: 'acquire', token, claim: claimOf(value) })
        return
      }
      case 'delay': {
        const { lock, token, value } = entry
        const deed: Deed = value ? { does: 'keep', token, claim: claimOf(value) } : { does: 'free', token }
        return void this.#history(lock, instance).changes.push({ deed, ...window, batch: place })
      }
      case 'wait': {
        const { ticket, locks, value } = entry
        const deed: Deed = value
          ? { does: 'queue', ticket, by: operationOf(value.metadata) }
          : { does: 'unqueue', ticket }
        for (const lock of locks) this.#history(lock, instance).changes.push({ deed, ...window, batch: place })
        return
      }
      case 'config': {
        const deed: Deed = { does: 'limit', limit: entry.value?.limit ?? null }
        return void this.#history(entry.lock, instance).changes.push({ deed, ...window, batch: place })
      }
      case 'value': {
        const deed: Deed = { does: 'write', token: entry.value?.token ?? null, value: entry.value?.value ?? null }
        return void this.#history(entry.lock, instance).changes.push({ deed, ...window, batch: place })
      }
      default:
        return
    }
  }

  /** `found`: of each lock, and of each set; what it is given may throw a `Violation`. */
  judge(found: (check: () => void) => void, doubts = none): void {
    for (const [lock, history] of this.#histories) found(() => this.#judgeLock(lock, history, doubts))
    this.#judgeSets(found, doubts)
  }

  #judgeLock(lock: string, { operations, changes }: History, doubts: Doubts): void {
    const { counts } = this
    const ofOne = operations.filter(({ deed }) => !isRefusedSet(deed))
    counts.operations += ofOne.reduce((sum, { isOptional }) => sum + (isOptional ? 0 : 1), 0)
    if (isByLog(ofOne, changes)) return
    // What is in doubt is left out before another order is searched for: that may take long, and is no proof.
    const sure = ofOne.filter(operation => !isInDoubt(operation, doubts))
    const isDoubted = sure.length < ofOne.length
    if (isDoubted && isByLog(sure, changes)) return void this.owed++
    const verdict = judgeHistory(ofOne, changes)
    counts.searched++
    counts.states += verdict.states
    if (verdict.ok === null) counts.undecided++
    if (verdict.ok !== false) return
    if (isDoubted && judgeHistory(sure, changes).ok) this.owed++
    else throw new Violation(`I12: no order explains what clients saw of ${lock}: ${JSON.stringify(verdict.at)}`)
  }

  #judgeSets(found: (check: () => void) => void, doubts: Doubts): void {
    const refused = new Map<number, { text: string; isExplained: boolean; isInDoubt: boolean }>()
    const granted = new Map<number, Set<number>>()
    for (const { operations, changes } of this.#histories.values()) {
      const ofSets = operations.filter(({ deed, isOptional }) => 'set' in deed && deed.set !== undefined && !isOptional)
      if (ofSets.length === 0) continue
      const explained = possible(
        changes,
        ofSets.filter(({ deed }) => isRefusedSet(deed)),
      )
      const batches = new Map(changes.map(({ deed, batch }) => [changeOf(deed), batch]))
      for (const operation of ofSets) {
        const { deed } = operation
        if (deed.does !== 'refuse' && deed.does !== 'acquire') continue
        const set = deed.set ?? 0
        const batch = batches.get(changeOf(deed))
        if (deed.does === 'acquire' && batch !== undefined) granted.set(set, (granted.get(set) ?? new Set()).add(batch))
        if (deed.does !== 'refuse') continue
        const isExplained = explained.has(operation) || refused.get(set)?.isExplained === true
        refused.set(set, { text: JSON.stringify(operation), isExplained, isInDoubt: isInDoubt(operation, doubts) })
      }
    }
    for (const [set, batches] of granted)
      found(() => {
        if (batches.size > 1) throw new Violation(`I14: set ${set} was granted in batches ${[...batches]}`)
      })
    for (const [set, { text, isExplained, isInDoubt: isOwed }] of refused)
      found(() => {
        if (!isExplained && isOwed) this.owed++
        else if (!isExplained) throw new Violation(`I12: set ${set} was refused, and all of it was to be had: ${text}`)
      })
  }

  #history(lock: string, instance: string): History {
    const key = `${instance} ${lock}`
    let history = this.#histories.get(key)
    if (!history) {
      history = { operations: [], changes: [], handedOn: null }
      this.#histories.set(key, history)
    }
    return history
  }
}

function isInDoubt({ deed, calledMs, returnedMs }: Operation, doubts: Doubts): boolean {
  const isFromMemory = ['see', 'miss', 'refuse', 'read', 'leave'].includes(deed.does)
  return isFromMemory && doubts.isDoubtful({ sentMs: calledMs, heardMs: returnedMs })
}

function isRefusedSet(deed: Deed): boolean {
  return deed.does === 'refuse' && deed.set !== undefined
}

function claimOf({ mode, permits, limit }: Claim): Claim {
  return { mode, permits, limit }
}

function operationOf(metadata: Record<string, unknown> | null): number | null {
  return typeof metadata?.operation === 'number' ? metadata.operation : null
}
