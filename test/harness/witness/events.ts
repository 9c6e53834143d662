/**
 * One watcher of all locks under the prefix, judged by what can be known of a stream of events without looking elsewhere (places only grow, each
 * grant is granted and ends once, holders of a lock follow one another, lines are first in, first out), and in the end by what the clients did.
 */
import type { Holdfast, WatchItem } from '@holdfast/client'
import type { Judge } from './judge.ts'

type Event = Exclude<WatchItem, { type: 'reset' }>

const endings = new Set(['released', 'expired', 'forced', 'preempted'])

export class Watcher {
  readonly #name: string
  readonly #judge: Judge
  readonly #stop = new AbortController()
  readonly granted = new Set<number>()
  /** By token: when its grant ended, by the server's wall clock, and how. */
  readonly ended = new Map<number, { type: string; at: number }>()
  readonly #holders = new Map<string, number>()
  readonly #lines = new Map<string, string[]>()
  /** Whose turn it is. */
  readonly #called = new Map<string, string>()
  #place = { seq: 0, index: 0 }
  count = 0
  readonly #run: Promise<void>

  constructor(name: string, client: Holdfast, judge: Judge, prefix: string) {
    this.#name = name
    this.#judge = judge
    this.#run = this.#read(client, prefix)
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#run
  }

  /** Everything that clients believed in was told, once; everything that they gave back ended, once. */
  compare(): void {
    for (const [lock, tokens] of this.#judge.believed)
      for (const token of tokens)
        if (!this.granted.has(token))
          this.#judge.violated(`${this.#name} was not told that ${lock} ${token} was granted`)
    for (const token of this.#judge.released)
      if (this.ended.get(token)?.type !== 'released')
        this.#judge.violated(`${this.#name} was not told that ${token} was released`)
  }

  /** Whether all that clients know of has arrived. */
  get isComplete(): boolean {
    for (const token of this.#judge.released) if (!this.ended.has(token)) return false
    return true
  }

  async #read(client: Holdfast, prefix: string): Promise<void> {
    try {
      for await (const item of client.watch({ prefix, signal: this.#stop.signal })) this.#heard(item)
    } catch (error) {
      this.#judge.failed(this.#name, 'watch', error)
    }
  }

  #heard(item: WatchItem): void {
    if (item.type === 'reset') return this.#wrong(`events were missed: reset to ${item.cursor}`)
    this.count++
    this.#inPlace(item.id)
    const { type, lock, token, holder = '' } = item
    if (type === 'queued') this.#lines.set(lock, [...(this.#lines.get(lock) ?? []), holder])
    else if (type === 'dequeued') this.#leftLine(lock, { holder, isServed: item.reason === 'granted' })
    else if (type === 'granted' && token !== undefined) this.#grant(item, token)
    else if (endings.has(type) && token !== undefined) this.#end(item, token)
  }

  /** By (batch, index): ids only grow. */
  #inPlace(id: string): void {
    const [, seq = '', index = ''] = id.split('-')
    const place = { seq: Number(seq), index: Number(index) }
    const { seq: lastSeq, index: lastIndex } = this.#place
    const isLater = place.seq > lastSeq || (place.seq === lastSeq && place.index > lastIndex)
    if (!isLater) this.#wrong(`event ${id} came after ${lastSeq}-${lastIndex}`)
    this.#place = place
  }

  #grant({ lock, holder = '' }: Event, token: number): void {
    if (this.granted.has(token)) this.#wrong(`${lock} ${token} was granted twice`)
    this.granted.add(token)
    const former = this.#holders.get(lock)
    if (former !== undefined) this.#wrong(`${lock} ${token} was granted while ${former} was held`)
    this.#holders.set(lock, token)
    const called = this.#called.get(lock)
    this.#called.delete(lock)
    const [first] = this.#lines.get(lock) ?? []
    if (called === undefined && first !== undefined)
      this.#wrong(`${lock} was granted to ${holder}, who was not in line, and ${first} was`)
    if (called !== undefined && called !== holder)
      this.#wrong(`${lock} was granted to ${holder}, and ${called} was called`)
  }

  #end({ type, lock, at }: Event, token: number): void {
    if (this.ended.has(token)) this.#wrong(`${lock} ${token} ended twice`)
    if (!this.granted.has(token)) return
    if (this.#holders.get(lock) !== token) this.#wrong(`${lock} ${token} ended and was not held`)
    this.#holders.delete(lock)
    this.ended.set(token, { type, at: Date.parse(at) })
  }

  /** Whoever is served leaves the line first, and is granted the lock next. */
  #leftLine(lock: string, { holder, isServed }: { holder: string; isServed: boolean }): void {
    const line = this.#lines.get(lock) ?? []
    const place = line.indexOf(holder)
    if (place < 0) this.#wrong(`${holder} left the line of ${lock} without having stood in it`)
    if (isServed && place > 0) this.#wrong(`${lock}: ${holder} was served, and ${line[0]} was first in line`)
    if (isServed) this.#called.set(lock, holder)
    this.#lines.set(lock, line.toSpliced(Math.max(0, place), place < 0 ? 0 : 1))
  }

  #wrong(what: string): void {
    this.#judge.violated(`${this.#name}: ${what}`)
  }
}
