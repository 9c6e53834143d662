/** What clients saw of each lock that is only ever taken exclusively, and whether one lock could have been seen so. */
import { Violation } from '../checker/judge.ts'
import { judgeHistory, type Operation } from '../checker/linear.ts'
import type { Freezes } from './freezes.ts'
import { exclusiveLocks } from './workload.ts'

type Granted = { token: number; atMs: number }

export class Histories {
  /** States that were looked at, and histories that were too long for it. */
  states = 0
  undecided = 0
  /** Histories that no order explains, but for what a server that had been frozen may have answered from its memory. */
  owed = 0
  readonly #operations = new Map<string, Operation[]>()
  /** By lock: what the log has granted, and when. */
  readonly #granted = new Map<string, Granted[]>()

  of(lock: string, instance: string): Operation[] | null {
    return exclusiveLocks.includes(lock) ? listOf(this.#operations, `${instance} ${lock}`) : null
  }

  granted(lock: string, instance: string, grant: Granted): void {
    listOf(this.#granted, `${instance} ${lock}`).push(grant)
  }

  /** @throws Violation */
  judge(freezes: Freezes): void {
    for (const [lock, history] of this.#operations) {
      let verdict = this.#judged(lock, history)
      const sure = history.filter(operation => !isDoubtful(operation, freezes))
      if (verdict.ok === false && sure.length < history.length) {
        verdict = this.#judged(lock, sure)
        if (verdict.ok) this.owed++
      }
      if (verdict.ok === null) this.undecided++
      if (verdict.ok === false)
        throw new Violation(`I12: no order explains what clients saw of ${lock}: ${JSON.stringify(verdict.at)}`)
    }
  }

  #judged(lock: string, history: readonly Operation[]): ReturnType<typeof judgeHistory> {
    const verdict = judgeHistory([...history, ...this.#untold(lock, history)])
    this.states += verdict.states
    return verdict
  }

  /** Grants of the log that no client was told of, or none that lived to say so. */
  #untold(lock: string, history: readonly Operation[]): Operation[] {
    const told = new Set(
      history.flatMap(({ deed }) =>
        deed.does === 'acquire' ? [deed.token] : deed.does === 'transfer' ? [deed.to] : [],
      ),
    )
    return (this.#granted.get(lock) ?? [])
      .filter(({ token }) => !told.has(token))
      .map(({ token, atMs }) => ({
        deed: { does: 'acquire', token },
        calledMs: atMs,
        returnedMs: Number.POSITIVE_INFINITY,
        isOptional: true,
      }))
  }
}

/** It was answered without a commit, perhaps by a server that had been frozen. */
function isDoubtful({ deed, calledMs, returnedMs }: Operation, freezes: Freezes): boolean {
  const isFromMemory = ['see', 'miss', 'read', 'leave'].includes(deed.does)
  return isFromMemory && freezes.isDoubtful({ sentMs: calledMs, heardMs: returnedMs })
}

function listOf<Item>(lists: Map<string, Item[]>, key: string): Item[] {
  const list = lists.get(key) ?? []
  lists.set(key, list)
  return list
}
