/** Client processes with the real library: what they do is in `workload.ts`; here is what they are, how they connect, and how their belief is read. */
import { Holdfast } from '../../packages/client/src/holdfast.ts'
import type { Lock } from '../../packages/client/src/lock.ts'
import { sessionOptionsOf } from '../../packages/client/src/options.ts'
import type { Rest } from '../../packages/client/src/rest.ts'
import { Session } from '../../packages/client/src/session.ts'
import type { OpenTransport } from '../../packages/client/src/transport.ts'
import type { Belief } from '../checker/beliefs.ts'
import type { Chance } from './chance.ts'
import { Basis, type Freezes, readingOf } from './freezes.ts'
import { Machine } from './machine.ts'
import type { Network } from './network.ts'
import type { Schedule } from './schedule.ts'
import { Servers } from './servers.ts'

export type ClientOptions = {
  name: string
  instance: string
  ttlMs: number
  rate: number
  schedule: Schedule
  network: Network
  servers: Servers
  chance: Chance
  freezes: Freezes
  /** It has a session from now on. */
  opened(client: Client): void
}

/** One start of one client process, with one session after another. */
export class Client {
  readonly name: string
  readonly machine: Machine
  readonly options: ClientOptions
  session: Session
  holdfast: Holdfast
  #basis: Basis

  constructor(options: ClientOptions) {
    this.options = options
    this.name = options.name
    this.machine = new Machine(options.schedule, { name: options.name, rate: options.rate })
    this.session = this.#open()
    this.#basis = new Basis(this.session.ledger, this.machine)
    this.holdfast = holdfastOf(this.session)
    this.options.opened(this)
  }

  /** A new session, after the one before was closed. */
  reopen(): void {
    this.session = this.#open()
    this.#basis = new Basis(this.session.ledger, this.machine)
    this.holdfast = holdfastOf(this.session)
    this.options.opened(this)
  }

  /** On its own clock. */
  sleep(ms: number): Promise<void> {
    return new Promise(resolve => void this.machine.after(ms, resolve))
  }

  beliefIn(lock: Lock): Belief {
    const { session, machine, name } = this
    const basis = this.#basis
    const { token } = lock
    const holding = session.ledger.holdings.get(token)
    const now = () => readingOf(machine)
    return {
      client: name,
      lock: lock.name,
      token,
      mode: lock.mode,
      slots: lock.slots,
      isBelieved: () =>
        !machine.isDead &&
        holding !== undefined &&
        session.ledger.holdings.get(token) === holding &&
        holding.lost === null &&
        !holding.isSuspended &&
        session.ledger.remainingMs(holding, now()) > 0,
      restsOnFreeze: () => holding !== undefined && basis.isShaken(holding, this.options.freezes),
    }
  }

  #open(): Session {
    const { servers, instance, ttlMs, chance, name } = this.options
    const urls = Array.from({ length: servers.length }, (_, place) => `http://${Servers.nameOf(place)}`)
    // Not all begin at the same one.
    for (let turns = chance.below(urls.length); turns > 0; turns--) urls.push(urls.shift() ?? '')
    return new Session(sessionOptionsOf({ url: urls, apiKey: 'key', instance, ttlMs, name }), {
      openTransport: this.#transport,
      clock: clockOf(this.machine),
      random: chance,
      tasks: { current: () => undefined, run: (_task, routine) => routine() },
    })
  }

  readonly #transport: OpenTransport = (url, listener) => {
    const { network, servers, instance } = this.options
    const place = Number(/server-(\d+)/.exec(url)?.[1])
    let isClosed = false
    const closed = (why: string) => {
      if (isClosed) return
      isClosed = true
      listener.closed(why)
    }
    const sending = network.connect({
      from: this.machine,
      to: () => servers.machine(place),
      near: {
        opened: () => listener.opened(),
        received: text => !isClosed && listener.received(text),
        closed: () => closed('the connection closed'),
      },
      accept: back => servers.accept(place, back, { subject: this.name, instance }),
      mayRepeat: text => !/"type":"(hello|watch|unwatch)"/.test(text),
    })
    return {
      send: text => sending.send(text),
      close: () => {
        sending.close()
        closed('closed by this side')
      },
    }
  }
}

/** Operators go to the shards themselves here: nothing is asked over REST. */
function holdfastOf(session: Session): Holdfast {
  return new Holdfast(session, {} as Rest)
}

function clockOf(machine: Machine) {
  return {
    now: () => readingOf(machine),
    monotonicMs: () => machine.hrtimeMs(),
    wallMs: () => machine.wallMs(),
    after: (delayMs: number, callback: () => void) => machine.after(delayMs, callback),
    afterTurn: (callback: () => void) => machine.afterPoll(callback),
  }
}
