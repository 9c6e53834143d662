/** Real servers, each on a machine of its own: their shards, the links between them, and the door that clients come in by. */
import { EventEmitter } from 'node:events'
import type { WebSocket } from 'ws'
import { rootIdentity } from '../../packages/server/src/auth/authenticator.ts'
import { type SessionSecrets, sessionSecrets } from '../../packages/server/src/auth/secrets.ts'
import { type CommitRequest, EngineRefusal } from '../../packages/server/src/engine/engine.ts'
import { MemoryStore } from '../../packages/server/src/engine/memory/store.ts'
import { Connection } from '../../packages/server/src/http/connect/connection.ts'
import type { Doors } from '../../packages/server/src/http/doors.ts'
import { Exhausted } from '../../packages/server/src/http/exhausted.ts'
import { Intake } from '../../packages/server/src/http/intake.ts'
import { Standing } from '../../packages/server/src/http/standing.ts'
import { WatchCount } from '../../packages/server/src/http/watch-count.ts'
import { LocalDecisions } from '../../packages/server/src/policies/decisions.ts'
import { instanceRecord, memoryRegistry } from '../../packages/server/src/registry/testing.ts'
import { AcceptedLinks } from '../../packages/server/src/routing/accepted-links.ts'
import { type Here, openClusterShards } from '../../packages/server/src/routing/cluster-shards.ts'
import { Links } from '../../packages/server/src/routing/links.ts'
import type { Transport, TransportEvents } from '../../packages/server/src/routing/transport.ts'
import type { Processes } from '../../packages/server/src/shards/processes.ts'
import type { OpenedShards } from '../../packages/server/src/shards/shards.ts'
import { silentTelemetry } from '../../packages/server/src/shards/telemetry.ts'
import { type Chance, chanceOf } from './chance.ts'
import { alarmOf, endOf } from './endings.ts'
import { Machine } from './machine.ts'
import type { End, Network, Sending } from './network.ts'
import { Promised } from './promised.ts'
import { acceptRequest } from './rest.ts'
import type { Schedule } from './schedule.ts'
import { type Room, SimulatedEngine, type StoreRates } from './store-way.ts'

export const ROOT = 'sim'
/** Nothing is known of other processes: whoever was killed is waited for. */
const strangers: Processes = {
  own: () => ({ pid: 1, bootId: null, pidNamespace: null, processStart: null }),
  stateOf: () => 'unknown',
}

export type Passed = { request: CommitRequest; revision: number; place: number; start: number; server: string }

export type ServersOptions = {
  schedule: Schedule
  network: Network
  seed: number
  shards: number
  instances: readonly string[]
  /** By place: of the server's clocks. */
  rates: readonly number[]
  logBytesMin: number
  storeRates: () => StoreRates
  room: () => Room
  passed(passed: Passed): void
}

type Running = {
  machine: Machine
  start: number
  shards: OpenedShards | null
  here: Here | null
  /** Of the other servers. */
  links: AcceptedLinks | null
  doors: Doors | null
  /** It has ended by itself. */
  error: Error | null
}

export class Servers {
  readonly store = new MemoryStore()
  readonly #options: ServersOptions
  readonly #running: Running[] = []
  readonly counts: Record<string, number> = {}
  readonly promised = new Promised()
  starts = 0

  constructor(options: ServersOptions) {
    this.#options = options
    options.rates.forEach((_, place) => void this.start(place))
  }

  get length(): number {
    return this.#options.rates.length
  }

  static nameOf(place: number): string {
    return `server-${place}`
  }

  machine(place: number): Machine {
    return this.#at(place).machine
  }

  /** Another start of the server of this place. */
  start(place: number): void {
    const { schedule, seed, rates, shards, instances, logBytesMin } = this.#options
    const start = ++this.starts
    const machine = new Machine(schedule, { name: Servers.nameOf(place), rate: rates[place] ?? 1 })
    const running: Running = { machine, start, shards: null, here: null, links: null, doors: null, error: null }
    this.#running[place] = running
    const chance = chanceOf(seed, `start ${start}`)
    const promised = this.promised.start(place, machine)
    const opening = openClusterShards({
      engine: promised.listen(this.#engine(running, place, start)),
      clock: machine,
      random: chance,
      telemetry: {
        ...silentTelemetry,
        turnAnswered: turn => promised.answered(turn),
        alarm: alarm => this.#counted(() => alarmOf(machine.name, alarm)),
      },
      peers: here => {
        running.here = here
        running.links = new AcceptedLinks({ ...here, clock: machine })
        return new Links(machine, member => events => this.#dial({ machine, server: here.server }, member, events))
      },
      config: {
        root: ROOT,
        name: machine.name,
        address: `http://${machine.name}`,
        shards,
        processes: strangers,
        fatal: error => this.#ended(running, error),
        logBytesMin,
      },
    })
    opening.then(
      opened => {
        running.shards = opened
        running.doors = doorsOf({ machine, shards: opened, chance }, instances)
      },
      error => this.#ended(running, error instanceof Error ? error : new Error(String(error))),
    )
  }

  /** The process is gone: what it had sent is on its way. */
  kill(place: number): void {
    this.#at(place).machine.kill()
  }

  /** It stops in good order, and is gone when it has. */
  async leave(place: number): Promise<void> {
    const { shards, machine } = this.#at(place)
    try {
      await shards?.close()
    } catch (error) {
      // The store refused the hand-over: the process ends all the same, and the next owner waits.
      if (!(error instanceof EngineRefusal)) throw error
      this.#count('left refused')
    }
    machine.kill()
  }

  /** Whether it is there to be disturbed. */
  isRunning(place: number): boolean {
    const { machine, shards, error } = this.#at(place)
    return machine.isRunning && shards !== null && error === null
  }

  /** It has ended by itself, as it should when its store says that it is dead; somebody has to start it again. */
  isOver(place: number): boolean {
    const { machine, error } = this.#at(place)
    return error !== null || machine.isDead
  }

  /** The shards of some server that answers, for what operators do. */
  shardsOf(place: number): OpenedShards | null {
    return this.isRunning(place) ? this.#at(place).shards : null
  }

  /** Somebody comes in by the server's door. null: it does not listen yet. */
  accept(place: number, back: Sending, who: { subject: string; instance: string }): End | null {
    const { doors } = this.#at(place)
    return doors && acceptClient(doors, back, who)
  }

  /** The same for one request over REST. */
  acceptRequest(place: number, back: Sending, who: { subject: string; instance: string }): End | null {
    const { doors } = this.#at(place)
    return doors && acceptRequest(doors, back, who)
  }

  #at(place: number): Running {
    const running = this.#running[place]
    if (!running) throw new Error(`there is no server ${place}`)
    return running
  }

  #ended(running: Running, error: Error): void {
    running.error = error
    this.#counted(() => endOf(running.machine.name, error))
    running.machine.kill()
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }

  /** Fails the run when what happened is nothing that its faults explain. */
  #counted(nameOf: () => string): void {
    try {
      this.#count(nameOf())
    } catch (error) {
      this.#options.schedule.fail(error)
    }
  }

  #engine(running: Running, place: number, start: number): SimulatedEngine {
    const { network, storeRates, room, passed, seed } = this.#options
    return new SimulatedEngine({
      store: this.store,
      machine: running.machine,
      network,
      chance: chanceOf(seed, `store ${start}`),
      rates: storeRates,
      room,
      roomChance: chanceOf(seed, `room ${start}`),
      counts: this.counts,
      passed: (request, revision) => passed({ request, revision, place, start, server: running.here?.server ?? '' }),
    })
  }

  #dial(
    { machine: from, server: own }: { machine: Machine; server: string },
    { server, address }: { server: string; address: string },
    events: TransportEvents,
  ): Transport {
    const target = () => this.#running.find(({ machine }) => `http://${machine.name}` === address) ?? null
    const sending = this.#options.network.connect({
      from,
      to: () => target()?.machine ?? null,
      mayTear: true,
      near: { opened: () => events.opened(), received: text => events.frame(text), closed: () => events.closed() },
      accept: back => {
        const { here, links } = target() ?? {}
        // The other end proves which start it is.
        if (!links || here?.server !== server) return null
        const transport: Transport = { send: frame => back.send(frame), close: () => back.close() }
        const accepted = links.accept(own, transport)
        return { received: text => accepted.heard(text), closed: () => accepted.closed() }
      },
    })
    return {
      send: frame => sending.send(frame),
      close: () => {
        sending.close()
        from.afterPoll(() => events.closed())
      },
    }
  }
}

let secrets: SessionSecrets | null = null
const unheard = () => undefined
const telemetry = new Proxy({}, { get: () => unheard })

/** What a connection, and a request over REST, use of them. */
function doorsOf(
  { machine, shards, chance }: { machine: Machine; shards: OpenedShards; chance: Chance },
  instances: readonly string[],
): Doors {
  const registry = memoryRegistry(
    ...instances.map(id => ({ kind: 'instance' as const, id, value: instanceRecord({ id }) })),
  )
  secrets ??= sessionSecrets('simulated')
  return {
    shards,
    authenticate: () => rootIdentity,
    permissions: new LocalDecisions(registry),
    registry,
    standing: new Standing({ registry, clock: machine }),
    secrets,
    clock: machine,
    random: chance,
    telemetry,
    watches: new WatchCount(),
    intake: new Intake(machine),
    exhausted: new Exhausted(),
    serverId: machine.name,
  } as unknown as Doors // the rest is for other doors
}

/** The server's end of a WebSocket. */
class Socket extends EventEmitter {
  readonly OPEN = 1
  readyState = 1
  readonly bufferedAmount = 0
  readonly #back: Sending

  constructor(back: Sending) {
    super()
    this.#back = back
  }

  send(frame: string): void {
    this.#back.send(frame)
  }

  close(): void {
    if (this.readyState !== this.OPEN) return
    this.readyState = 3
    this.#back.close()
    this.emit('close')
  }

  terminate(): void {
    this.close()
  }

  ping(): void {}
}

function acceptClient(doors: Doors, back: Sending, { subject, instance }: { subject: string; instance: string }): End {
  const socket = new Socket(back)
  const connection = new Connection(socket as unknown as WebSocket, doors, {
    caller: { identity: rootIdentity, subject, instance, address: '192.0.2.7' },
    presented: { authorization: undefined, address: '192.0.2.7', certificate: null },
    named: undefined,
    trace: 'trace',
  })
  void connection
  return { received: text => void socket.emit('message', text, false), closed: () => socket.close() }
}
