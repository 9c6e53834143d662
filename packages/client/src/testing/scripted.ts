/** A second implementation of the transport, for tests of the session's state machine: a server that says what the test says. */
import type { ClientMessage, ServerMessage } from '@holdfast/protocol/frame'
import { connect, type Holdfast } from '../holdfast.ts'
import type { ConnectOptions, SessionEvent } from '../options.ts'
import type { OpenTransport, TransportListener } from '../transport.ts'
import { ManualClock, turn } from './clock.ts'

/** One connection as the test's server sees it. */
export class ScriptedConnection {
  readonly received: ClientMessage[] = []
  frames = 0
  isClosed = false
  readonly url: string
  readonly #listener: TransportListener

  constructor(url: string, listener: TransportListener) {
    this.url = url
    this.#listener = listener
  }

  take(text: string) {
    this.frames++
    // The library writes arrays of its own messages.
    this.received.push(...(JSON.parse(text) as ClientMessage[]))
  }

  open() {
    this.#listener.opened()
  }

  async say(...messages: ServerMessage[]) {
    this.#listener.received(JSON.stringify(messages))
    await turn()
  }

  /** Received and not read before the loop ran again. */
  sayWithin(...messages: ServerMessage[]) {
    this.#listener.received(JSON.stringify(messages))
  }

  /** Closed by the library: as with the real one, the listener hears of it at once. */
  end() {
    if (this.isClosed) return
    this.isClosed = true
    this.#listener.closed('closed by this side')
  }

  async cut() {
    this.isClosed = true
    this.#listener.closed('cut by the test')
    await turn()
  }

  /** The newest message of the type. Throws when there is none. */
  last<Type extends ClientMessage['type']>(type: Type): Extract<ClientMessage, { type: Type }> {
    const message = this.received.findLast((one): one is Extract<ClientMessage, { type: Type }> => one.type === type)
    if (!message) throw new Error(`no ${type} among ${JSON.stringify(this.received)}`)
    return message
  }

  count(type: ClientMessage['type']): number {
    return this.received.filter(message => message.type === type).length
  }
}

export class Script {
  readonly clock = new ManualClock()
  readonly connections: ScriptedConnection[] = []
  readonly events: SessionEvent[] = []
  readonly holdfast: Holdfast

  constructor(options: ConnectOptions = {}) {
    const openTransport: OpenTransport = (url, listener) => {
      const connection = new ScriptedConnection(url, listener)
      this.connections.push(connection)
      return { send: text => connection.take(text), close: () => connection.end() }
    }
    this.holdfast = connect(
      { url: 'http://scripted.test', apiKey: 'key', onEvent: event => this.events.push(event), ...options },
      { clock: this.clock, openTransport, random: { fraction: () => 0.5 } },
    )
  }

  get connection(): ScriptedConnection {
    const connection = this.connections.at(-1)
    if (!connection) throw new Error('nothing has connected')
    return connection
  }

  /** Lets the newest connection open and welcomes it. */
  async welcome(
    welcome: {
      session?: string
      changes?: number
      ownerUrl?: string
      grants?: Extract<ServerMessage, { type: 'welcome' }>['grants']
      /** From the greeting to the answer. */
      afterMs?: number
    } = {},
  ) {
    const { session = 's-1', changes = 0, ownerUrl, grants, afterMs = 0 } = welcome
    await turn()
    this.connection.open()
    if (afterMs > 0) await this.clock.advance(afterMs)
    const message: ServerMessage = {
      type: 'welcome',
      session: { id: session, secret: 'secret' },
      ttl_ms: 15_000,
      changes,
      server_time: '2026-01-01T00:00:00Z',
      server: 'scripted',
      ...(ownerUrl === undefined ? {} : { owner_url: ownerUrl }),
      ...(grants ? { grants } : {}),
    }
    await this.connection.say(message)
  }

  /** Answers the newest acquire with a grant. */
  async grant(token: number, more: { waited_ms?: number; changes?: number; ends_in_ms?: number } = {}) {
    const { id, name } = this.connection.last('acquire')
    await this.connection.say(this.granted({ id, name, token, ...more }))
  }

  granted(grant: {
    id: number
    name: string
    token: number
    waited_ms?: number
    changes?: number
    ends_in_ms?: number
  }): ServerMessage {
    const { id, name, token, waited_ms = 0, changes = 0, ends_in_ms } = grant
    return {
      type: 'reply',
      id,
      grant: { ...wireGrant(name, token, id), ...(ends_in_ms === undefined ? {} : { ends_in_ms }) },
      waited_ms,
      ttl_ms: 15_000,
      changes,
    }
  }

  async renewed(more: object = {}) {
    await this.connection.say({
      type: 'reply',
      id: this.connection.last('renew').id,
      ttl_ms: 15_000,
      changes: 0,
      ...more,
    })
  }
}

export function wireGrant(name: string, token: number, requestId?: number) {
  const grant = { name, token, mode: 'exclusive' as const, holder: 'test', acquired_at: '2026-01-01T00:00:00Z' }
  return requestId === undefined ? grant : { ...grant, request_id: requestId }
}

/** One that holds `a`. */
export async function holding(token = 7, options = {}) {
  const script = new Script(options)
  const acquiring = script.holdfast.acquire('a')
  await script.welcome()
  await script.grant(token)
  return { script, lock: await acquiring }
}
