/** Carries the plan out: begins each fault at its time, and ends it. */
import type { Fault } from './plan.ts'
import { Servers } from './servers.ts'
import { type Room, STORE, type StoreRates } from './store-way.ts'
import type { World } from './world.ts'

/** How long a server that has ended by itself stays away: somebody's supervisor starts it again. */
const RESTART_MS = 500

export class Disturber {
  readonly counts: Record<string, number> = {}
  readonly #world: World
  readonly #ends = new Set<() => void>()
  readonly #storms = new Set<StoreRates>()
  readonly #fills = new Set<{ room: Room }>()
  /** By the plan, and not to be started again before its time. */
  readonly #killed = new Set<number>()
  #isHealed = false

  constructor(world: World) {
    this.#world = world
  }

  /** What is left in the store: when several fill it, the least. */
  get room(): Room {
    const rooms = [...this.#fills]
    return rooms.some(({ room }) => room === 'none') ? 'none' : rooms.length > 0 ? 'little' : 'enough'
  }

  get storeRates(): StoreRates {
    if (this.#isHealed) return {}
    let rates = this.#world.plan.storeRates
    for (const storm of this.#storms) rates = storm
    return rates
  }

  start(): void {
    const { schedule, plan } = this.#world
    for (const fault of plan.faults)
      schedule.at(schedule.nowMs + fault.atMs - 3_000, () => {
        if (!this.#isHealed) this.#begin(fault)
      })
    this.#supervise()
  }

  /** Ends all that is under way, and begins nothing more. */
  heal(): void {
    this.#isHealed = true
    this.#world.tell(() => 'all faults end')
    for (const end of [...this.#ends]) end()
    this.#thawAll()
  }

  /** What an operator has frozen while nobody answered. */
  #thawAll(): void {
    for (const [instance, { freezes }] of this.#world.log.judges)
      for (const prefix of freezes.keys()) this.#world.operate(instance, { type: 'thaw', by: 'operator', prefix })
    this.#world.schedule.after(1_000, () => this.#thawAll())
  }

  #begin(fault: Fault): void {
    const undo = this.#do(fault)
    if (!undo) return
    this.counts[fault.kind] = (this.counts[fault.kind] ?? 0) + 1
    this.#world.tell(() => `fault ${JSON.stringify(fault)}`)
    const end = () => {
      if (!this.#ends.delete(end)) return
      this.#world.tell(() => `end of ${fault.kind}`)
      undo()
    }
    this.#ends.add(end)
    this.#world.schedule.after(fault.lastsMs, end)
  }

  /** Returns how it ends; null: there is nobody to befall. */
  #do(fault: Fault): (() => void) | null {
    switch (fault.kind) {
      case 'kill_server':
      case 'leave_server':
      case 'stop_server':
      case 'suspend_server':
        return this.#toServer(fault)
      case 'cut_from_store':
        return this.#cut([STORE], Servers.nameOf(fault.server), fault.ways)
      case 'cut_from_clients':
        return this.#cut(this.#clientNames(), Servers.nameOf(fault.server), fault.ways)
      case 'cut_from_servers':
        return this.#cut(this.#serverNames(fault.server), Servers.nameOf(fault.server), fault.ways)
      case 'apart':
        return this.#cut(
          [...this.#clientNames(), ...this.#serverNames(fault.server)],
          Servers.nameOf(fault.server),
          'both',
        )
      case 'tear_links':
        return this.#world.network.tear(Servers.nameOf(fault.server), fault)
      case 'storm':
        this.#storms.add(fault.rates)
        return () => void this.#storms.delete(fault.rates)
      case 'fill_store':
        return this.#fill(fault.littleMs)
      case 'kill_client':
      case 'stop_client':
      case 'suspend_client':
        return this.#toClient(fault)
      case 'freeze_server':
      case 'freeze_client':
      case 'freeze_caller':
        return this.#freezeMachine(fault)
      case 'cut_client':
        return this.#cut(this.#serverNames(-1), this.#world.clients[fault.client]?.name ?? '', fault.ways)
      case 'step_wall': {
        const { servers, clients } = this.#world
        const machine =
          fault.machine < servers.length
            ? servers.machine(fault.machine)
            : clients[fault.machine - servers.length]?.machine
        machine?.stepWall(fault.ms)
        return () => undefined
      }
      case 'force':
      case 'preempt':
      case 'freeze':
      case 'limit':
        return this.#operate(fault)
    }
  }

  #fill(littleMs: number): () => void {
    const fill: { room: Room } = { room: 'little' }
    this.#fills.add(fill)
    this.#world.schedule.after(littleMs, () => {
      fill.room = 'none'
    })
    return () => void this.#fills.delete(fill)
  }

  #freezeMachine(fault: Extract<Fault, { isWallSet: boolean }>): (() => void) | null {
    const { clients, callers, servers, freezes } = this.#world
    const isOfServer = fault.kind === 'freeze_server'
    if (isOfServer && !servers.isRunning(fault.server)) return null
    const machine = isOfServer
      ? servers.machine(fault.server)
      : (fault.kind === 'freeze_client' ? clients[fault.client] : callers[fault.caller])?.machine
    if (!machine?.isRunning) return null
    machine.freeze()
    return () => {
      machine.thaw(fault)
      if (isOfServer) freezes.serverThawed(machine)
    }
  }

  #toServer(fault: Extract<Fault, { server: number }>): (() => void) | null {
    const { servers } = this.#world
    const { server } = fault
    if (!servers.isRunning(server)) return null
    const machine = servers.machine(server)
    if (fault.kind === 'kill_server') {
      servers.kill(server)
      this.#killed.add(server)
      return () => this.#restart(server)
    }
    if (fault.kind === 'leave_server') {
      void servers.leave(server).catch(error => this.#world.fail(error))
      return () => undefined
    }
    machine.stop()
    return this.#continuing(fault, machine)
  }

  #toClient(fault: Extract<Fault, { client: number }>): (() => void) | null {
    const { clients } = this.#world
    const client = clients[fault.client]
    if (!client?.machine.isRunning) return null
    if (fault.kind === 'kill_client') {
      this.#world.killClient(fault.client)
      return () => this.#world.startClient(fault.client)
    }
    client.machine.stop()
    return this.#continuing(fault, client.machine)
  }

  #continuing(fault: Fault, machine: { continue(suspendedMs?: number): void }): () => void {
    const { schedule } = this.#world
    const sinceMs = schedule.nowMs
    const isSuspended = fault.kind === 'suspend_server' || fault.kind === 'suspend_client'
    return () => machine.continue(isSuspended ? schedule.nowMs - sinceMs : 0)
  }

  #cut(others: readonly string[], name: string, ways: 'both' | 'out' | 'in'): () => void {
    const { network } = this.#world
    const heals = others.flatMap(other => [
      ...(ways !== 'in' ? [network.cut(name, other)] : []),
      ...(ways !== 'out' ? [network.cut(other, name)] : []),
    ])
    return () => {
      for (const heal of heals) heal()
    }
  }

  #operate(fault: Extract<Fault, { instance: number }>): () => void {
    const world = this.#world
    const instance = world.instances[fault.instance] ?? ''
    const by = 'operator'
    if (fault.kind === 'freeze') {
      const { prefix } = fault
      world.operate(instance, { type: 'freeze', by, prefix, untilAt: 4e12, reason: 'test' })
      return () => world.operate(instance, { type: 'thaw', by, prefix })
    }
    const { lock } = fault
    if (fault.kind === 'limit') {
      const { limit } = fault
      world.operate(instance, { type: 'configure', by, lock, fields: { limit }, replaces: false, ifVersion: null })
      return () => undefined
    }
    if (fault.kind === 'force')
      world.operate(instance, { type: 'force_release', by, lock, token: null, reason: 'test', now: false })
    else world.operate(instance, { type: 'preempt', by, lock, token: null, reason: 'test', graceMs: 300 })
    return () => undefined
  }

  #clientNames(): string[] {
    const { clients, callers } = this.#world
    return [...clients, ...callers].map(({ name }) => name)
  }

  #serverNames(but: number): string[] {
    return Array.from({ length: this.#world.servers.length }, (_, place) => place)
      .filter(place => place !== but)
      .map(place => Servers.nameOf(place))
  }

  #restart(server: number): void {
    this.#killed.delete(server)
    if (this.#world.servers.machine(server).isDead) this.#world.servers.start(server)
  }

  /** What has ended by itself is started again, as a supervisor does. */
  #supervise(): void {
    const { servers, schedule } = this.#world
    schedule.after(RESTART_MS, () => {
      for (let place = 0; place < servers.length; place++)
        if (servers.isOver(place) && !this.#killed.has(place)) this.#restart(place)
      this.#supervise()
    })
  }
}
