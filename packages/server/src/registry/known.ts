/** The records as this server knows them: in memory, whole, in the order of their ids. */
import type { Put } from './port.ts'
import { type Kind, kinds, type Records } from './records.ts'

export class KnownRecords {
  readonly #byKind = new Map<Kind, Map<string, Records[Kind]>>(kinds.map(kind => [kind, new Map()]))
  /** Sorted when asked for, if something has been added since. */
  readonly #sorted = new Map<Kind, Records[Kind][]>()

  get<K extends Kind>(kind: K, id: string): Records[K] | null {
    // Under a kind there are records of that kind only: `apply` puts them there.
    return (this.#byKind.get(kind)?.get(id) as Records[K] | undefined) ?? null
  }

  all<K extends Kind>(kind: K): readonly Records[K][] {
    let sorted = this.#sorted.get(kind)
    if (!sorted) {
      const pairs = [...(this.#byKind.get(kind) ?? [])].sort(([one], [other]) => (one < other ? -1 : 1))
      sorted = pairs.map(([, record]) => record)
      this.#sorted.set(kind, sorted)
    }
    // As above.
    return sorted as Records[K][]
  }

  apply(puts: readonly Put[]): void {
    for (const { kind, id, value } of puts) {
      const records = this.#byKind.get(kind)
      // Of a later version of this software: not ours to know.
      if (!records) continue
      if (value === null) records.delete(id)
      else records.set(id, value)
      this.#sorted.delete(kind)
    }
  }

  /** What `puts`, which are all there is, change: records that are no longer there are in it as null. */
  difference(puts: readonly Put[]): Put[] {
    const there = new Set(puts.map(({ kind, id }) => `${kind}/${id}`))
    const gone = kinds.flatMap(kind =>
      [...(this.#byKind.get(kind)?.keys() ?? [])]
        .filter(id => !there.has(`${kind}/${id}`))
        .map((id): Put => ({ kind, id, value: null })),
    )
    return [...gone, ...puts]
  }
}
