/**
 * Connections between machines: in order, each direction with delays of its own. A direction can be cut: what is sent then lies in the network until it
 * heals, as with TCP, and so does the news that the other end has closed; so half-open connections come about by themselves.
 *
 * A connection that may be torn is given up by the one who made it while what it has sent lies on the way: it comes late, and what is sent again over
 * a connection of later comes before it, or after.
 */
import type { Chance } from './chance.ts'
import type { Machine } from './machine.ts'
import type { Schedule } from './schedule.ts'

export type End = { received(text: string): void; closed(): void }
export type Sending = { send(text: string): void; close(): void }

/** `lateMs`: after it has been given up. */
export type Tear = { lateMs: number }

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
  readonly #tearable = new Set<Pipe>()
  /** What lies in connections that are torn, or are about to be. */
  readonly late = new LateRequests()
  readonly counts = { frames: 0, slow: 0, repeated: 0, held: 0, torn: 0, late: 0, asked_again: 0 }

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

  /** All connections of that name that may be torn. From now on what is sent lies on the way; with the call of what is returned they are given up. */
  tear(name: string, { lateMs }: Tear): () => void {
    const pipes = [...this.#tearable].filter(pipe => pipe.isOf(name))
    for (const pipe of pipes) pipe.stall()
    return () => {
      for (const pipe of pipes) if (pipe.giveUp(lateMs)) this.counts.torn++
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
   * that may come twice; `mayTear`: what is sent may come after the sender has given the connection up.
   */
  connect(options: {
    from: Machine
    to: () => Machine | null
    near: End & { opened(): void }
    accept: (back: Sending) => End | null
    mayRepeat?: (text: string) => boolean
    mayTear?: boolean
  }): Sending {
    const pipe = new Pipe(this, this.#schedule, options)
    if (options.mayTear) {
      this.#tearable.add(pipe)
      options.from.onEnd(() => this.#tearable.delete(pipe))
    }
    return pipe.near
  }

  repeatMs(text: string, mayRepeat: ((text: string) => boolean) | undefined): number | null {
    if (!mayRepeat || this.#rates.repeated === 0) return null
    if (!this.#chance.isLuckyAt(this.#rates.repeated) || !mayRepeat(text)) return null
    this.counts.repeated++
    return this.#chance.between(0, 4_000)
  }
}

/** Requests by their ids, while one copy of them lies on the way. */
class LateRequests {
  readonly #counts = new Map<string, number>()

  lie(text: string): void {
    for (const request of requestsOf(text)) this.#counts.set(request, (this.#counts.get(request) ?? 0) + 1)
  }

  arrive(text: string): void {
    for (const request of requestsOf(text)) {
      const count = (this.#counts.get(request) ?? 1) - 1
      if (count > 0) this.#counts.set(request, count)
      else this.#counts.delete(request)
    }
  }

  /** How many of these lie elsewhere. */
  countIn(text: string): number {
    return this.#counts.size === 0 ? 0 : requestsOf(text).filter(request => this.#counts.has(request)).length
  }
}

/** Of what servers ask each other: what is remembered by an id. */
function requestsOf(text: string): string[] {
  const asked = JSON.parse(text) as { type: string; instance?: string; command?: Record<string, unknown> }[] // by routing/messages.ts
  return asked.flatMap(({ type, instance, command }) => {
    if (type !== 'ask' || !command) return []
    const { session } = command
    const isKeyed = typeof session === 'object' && session !== null && 'key' in session && session.key !== null
    if (typeof command.request !== 'number' && typeof command.request !== 'string' && !isKeyed) return []
    return [JSON.stringify([instance, command.type, session, command.request])]
  })
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
  /** What lies on the way until it comes late; null: nothing does. */
  #lying: (() => void)[] | null = null

  constructor(network: Network, schedule: Schedule, options: Options) {
    this.#network = network
    this.#schedule = schedule
    this.#options = options
    const { from } = options
    this.near = {
      send: text => this.#out(text),
      close: () => this.#leave(),
    }
    from.onEnd(() => this.#leave())
    this.#carry('out', () => this.#open())
  }

  isOf(name: string): boolean {
    return this.#isNearOpen && (this.#options.from.name === name || this.#far?.machine.name === name)
  }

  stall(): void {
    this.#lying ??= []
  }

  /** Returns false when there was nobody left to do so. */
  giveUp(lateMs: number): boolean {
    const isGivenUp = this.#isNearOpen
    if (isGivenUp) {
      this.#leave()
      this.#options.from.arrive(() => this.#options.near.closed())
    }
    this.#schedule.after(lateMs, () => {
      const lying = this.#lying ?? []
      this.#lying = null
      for (const deliver of lying) this.#carry('out', deliver)
    })
    return isGivenUp
  }

  #leave(): void {
    if (!this.#isNearOpen) return
    this.#isNearOpen = false
    this.#send(() => this.#closeFar())
  }

  #send(deliver: () => void): void {
    if (this.#lying) this.#lying.push(deliver)
    else this.#carry('out', deliver)
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
    if (this.#options.mayTear) this.#note(text, deliver)
    else this.#carry('out', deliver)
    const againMs = this.#network.repeatMs(text, this.#options.mayRepeat)
    if (againMs !== null) this.#schedule.after(againMs, () => this.#carry('out', deliver))
  }

  #note(text: string, deliver: () => void): void {
    const { late, counts } = this.#network
    counts.asked_again += late.countIn(text)
    if (!this.#lying) return this.#carry('out', deliver)
    late.lie(text)
    this.#lying.push(() => {
      counts.late++
      late.arrive(text)
      deliver()
    })
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
