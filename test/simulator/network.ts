/**
 * Connections between machines: in order, each direction with delays of its own. A direction can be cut: what is sent then lies in the network until it
 * heals, as with TCP, and so does the news that the other end has closed; so half-open connections come about by themselves.
 */
import type { Chance } from './chance.ts'
import type { Machine } from './machine.ts'
import type { Schedule } from './schedule.ts'

export type End = { received(text: string): void; closed(): void }
export type Sending = { send(text: string): void; close(): void }

export type NetworkRates = {
  delayMsMax: number
  /** A frame takes much longer. */
  slow: number
  slowMsMax: number
  /** A frame comes once more, later. */
  repeated: number
}

export class Network {
  readonly #schedule: Schedule
  readonly #chance: Chance
  readonly #rates: NetworkRates
  readonly #cuts = new Map<string, number>()
  #held = new Map<string, (() => void)[]>()
  readonly counts = { frames: 0, slow: 0, repeated: 0, held: 0 }

  constructor(schedule: Schedule, options: { chance: Chance; rates: NetworkRates }) {
    this.#schedule = schedule
    this.#chance = options.chance
    this.#rates = options.rates
  }

  /** Nothing goes from one to the other until the function that is returned has been called. Names, so that it outlives a restart. */
  cut(from: string, to: string): () => void {
    const way = `${from}>${to}`
    this.#cuts.set(way, (this.#cuts.get(way) ?? 0) + 1)
    return () => {
      const count = (this.#cuts.get(way) ?? 1) - 1
      if (count > 0) return void this.#cuts.set(way, count)
      this.#cuts.delete(way)
      const held = this.#held.get(way) ?? []
      this.#held.delete(way)
      for (const go of held) go()
    }
  }

  isCut(from: string, to: string): boolean {
    return this.#cuts.size > 0 && this.#cuts.has(`${from}>${to}`)
  }

  /** Goes on when the way is open, now or later. */
  whenOpen(way: { from: string; to: string }, go: () => void): void {
    if (!this.isCut(way.from, way.to)) return go()
    this.counts.held++
    const key = `${way.from}>${way.to}`
    const held = this.#held.get(key)
    if (held) held.push(go)
    else this.#held.set(key, [go])
  }

  delayMs(): number {
    const { delayMsMax, slow, slowMsMax } = this.#rates
    if (this.#chance.isLuckyAt(slow)) {
      this.counts.slow++
      return this.#chance.between(0, slowMsMax)
    }
    return 0.05 + this.#chance.fraction() * delayMsMax
  }

  /**
   * Connects `from` with `to`. `accept` is called at the other end when the connection has been made, and says what hears it there. `mayRepeat`: frames
   * that may come twice.
   */
  connect(options: {
    from: Machine
    to: () => Machine | null
    near: End & { opened(): void }
    accept: (back: Sending) => End | null
    mayRepeat?: (text: string) => boolean
  }): Sending {
    const pipe = new Pipe(this, this.#schedule, options)
    return pipe.near
  }

  repeatMs(text: string, mayRepeat: ((text: string) => boolean) | undefined): number | null {
    if (!mayRepeat || this.#rates.repeated === 0) return null
    if (!this.#chance.isLuckyAt(this.#rates.repeated) || !mayRepeat(text)) return null
    this.counts.repeated++
    return this.#chance.between(0, 4_000)
  }
}

type Options = Parameters<Network['connect']>[0]

class Pipe {
  readonly near: Sending
  readonly #network: Network
  readonly #schedule: Schedule
  readonly #options: Options
  #far: { machine: Machine; end: End } | null = null
  #isNearOpen = true
  #isFarOpen = false
  readonly #last = { out: 0, back: 0 }

  constructor(network: Network, schedule: Schedule, options: Options) {
    this.#network = network
    this.#schedule = schedule
    this.#options = options
    const { from } = options
    this.near = {
      send: text => this.#out(text),
      close: () => {
        this.#isNearOpen = false
        this.#carry('out', () => this.#closeFar())
      },
    }
    from.onEnd(() => {
      this.#isNearOpen = false
      this.#carry('out', () => this.#closeFar())
    })
    this.#carry('out', () => this.#open())
  }

  #open(): void {
    const { to, near, accept, from } = this.#options
    const machine = to()
    if (!this.#isNearOpen) return
    if (!machine || machine.isDead) return this.#carry('back', () => from.arrive(() => this.#closeNear()))
    machine.onEnd(() => {
      this.#isFarOpen = false
      this.#carry('back', () => from.arrive(() => this.#closeNear()))
    })
    // The system accepts for a stopped process too; it hears of it when it goes on.
    this.#isFarOpen = true
    this.#far = { machine, end: { received: () => undefined, closed: () => undefined } }
    machine.arrive(() => {
      const end = accept({ send: text => this.#back(text), close: () => this.#hangUp() })
      if (!end) return this.#hangUp()
      if (this.#far) this.#far.end = end
    })
    this.#carry('back', () => from.arrive(() => this.#isNearOpen && near.opened()))
  }

  #hangUp(): void {
    if (!this.#isFarOpen) return
    this.#isFarOpen = false
    this.#carry('back', () => this.#options.from.arrive(() => this.#closeNear()))
  }

  #closeNear(): void {
    if (!this.#isNearOpen) return
    this.#isNearOpen = false
    this.#options.near.closed()
  }

  #closeFar(): void {
    const far = this.#far
    if (!far || !this.#isFarOpen) return
    far.machine.arrive(() => {
      if (!this.#isFarOpen) return
      this.#isFarOpen = false
      far.end.closed()
    })
  }

  #out(text: string): void {
    const deliver = () => this.#far?.machine.arrive(() => this.#isFarOpen && this.#far?.end.received(text))
    this.#carry('out', deliver)
    const againMs = this.#network.repeatMs(text, this.#options.mayRepeat)
    if (againMs !== null) this.#schedule.after(againMs, () => this.#carry('out', deliver))
  }

  #back(text: string): void {
    const { from, near } = this.#options
    this.#carry('back', () => from.arrive(() => this.#isNearOpen && near.received(text)))
  }

  /** After the delay of the way, behind what was sent before. */
  #carry(way: 'out' | 'back', deliver: () => void): void {
    const { from } = this.#options
    this.#network.counts.frames++
    const atMs = Math.max(this.#last[way], this.#schedule.nowMs + this.#network.delayMs())
    this.#last[way] = atMs
    this.#schedule.at(atMs, () => {
      const far = this.#far?.machine.name ?? this.#options.to()?.name ?? ''
      const names = way === 'out' ? { from: from.name, to: far } : { from: far, to: from.name }
      this.#network.whenOpen(names, deliver)
    })
  }
}
