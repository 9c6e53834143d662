/** The network between the processes of a run: every link goes through a proxy of its own, so that each can fail alone, in one direction or both. */
import { type Age, type CommitProxy, type Fate, startCommitProxy } from '../harness/commit-proxy.ts'
import { type Direction, FaultProxy, startProxy } from '../harness/proxy.ts'

/** `bytes`: links to the store know nothing of what they carry; `commits`: they know commits and reads. */
export type Carry = 'bytes' | 'commits'

export class Links {
  readonly #carry: Carry
  /** By the place of the server, to each etcd member. */
  readonly #toStore: (FaultProxy | CommitProxy)[][] = []
  /** By the place of the server: what clients and other servers know as its address. */
  readonly #toServer: FaultProxy[] = []

  constructor(carry: Carry) {
    this.#carry = carry
  }

  /** `serverPort`: where the server of this place will listen. */
  async add(serverPort: number, memberPorts: readonly number[]): Promise<void> {
    const start = this.#carry === 'bytes' ? startProxy : startCommitProxy
    this.#toStore.push(await Promise.all(memberPorts.map(port => start(port))))
    this.#toServer.push(await startProxy(serverPort))
  }

  storeUrls(place: number): string[] {
    return (this.#toStore[place] ?? []).map(({ url }) => url)
  }

  url(place: number): string {
    return this.#server(place).url
  }

  /** `requests` are lost on their way to the store, `replies` on their way back. */
  cutFromStore(place: number, ways: 'both' | Direction): void {
    for (const link of this.#store(place)) cut(link, ways)
  }

  /** From clients and from the other servers. */
  cutFromOthers(place: number, ways: 'both' | Direction): void {
    cut(this.#server(place), ways)
  }

  /** Ends all connections of clients and other servers with it, and refuses new ones. */
  refuseOthers(place: number): void {
    this.#server(place).cut()
  }

  /** Each piece, both ways. */
  delay(place: number, ms: number): void {
    for (const link of this.#store(place)) link.delay(ms)
    this.#server(place).delay(ms)
  }

  /** What becomes of commits on their way to the store and back. */
  decide(fate: (body: Buffer) => Fate): void {
    for (const link of this.#toStore.flat()) if (!(link instanceof FaultProxy)) link.fate = fate
  }

  /** What the store answers of its past. */
  age(age: Age): void {
    for (const link of this.#toStore.flat()) if (!(link instanceof FaultProxy)) link.age = age
  }

  /** What has become of commits and reads. */
  get fates(): Record<string, number> {
    const sums: Record<string, number> = {}
    for (const link of this.#toStore.flat())
      if (!(link instanceof FaultProxy))
        for (const [fate, count] of Object.entries(link.counts)) sums[fate] = (sums[fate] ?? 0) + count
    return sums
  }

  heal(): void {
    for (const link of [...this.#toStore.flat(), ...this.#toServer]) link.heal()
  }

  async close(): Promise<void> {
    await Promise.all([...this.#toStore.flat(), ...this.#toServer].map(link => link.close()))
  }

  #store(place: number): FaultProxy[] {
    return (this.#toStore[place] ?? []).filter(link => link instanceof FaultProxy)
  }

  #server(place: number): FaultProxy {
    const link = this.#toServer[place]
    if (!link) throw new Error(`no server at ${place}`)
    return link
  }
}

function cut(link: FaultProxy, ways: 'both' | Direction): void {
  if (ways === 'both') link.swallow('requests', 'replies')
  else link.swallow(ways)
}
