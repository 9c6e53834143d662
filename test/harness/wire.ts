/**
 * The WebSocket protocol by hand, without the library: a second opinion on what the server says. Requests are answered by promises;
 * what was sent and never answered stays in `open`, to be sent again under the same id.
 */
import type { ClientRequest, ServerMessage } from '@holdfast/protocol/frame'
import { rootKey } from './server.ts'

type Reply = Extract<ServerMessage, { type: 'reply' }>
type WithoutId<Message> = Message extends unknown ? Omit<Message, 'id'> : never
export type Request = WithoutId<ClientRequest>

export type Welcome = Extract<ServerMessage, { type: 'welcome' }>

export class Wire {
  readonly welcome: Welcome
  readonly open = new Map<number, { message: ClientRequest; resolve: (reply: Reply) => void }>()
  readonly pushes: ServerMessage[] = []
  nextId = 1
  private readonly socket: WebSocket
  private outbox: ClientRequest[] = []
  private isScheduled = false

  private constructor(socket: WebSocket, welcome: Welcome) {
    this.socket = socket
    this.welcome = welcome
    socket.onmessage = event => {
      for (const message of JSON.parse(String(event.data)) as ServerMessage[]) this.receive(message)
    }
  }

  /** Opens a session, or resumes the one given. */
  static async connect(url: string, options: { session?: string; ttlMs?: number; key?: string } = {}): Promise<Wire> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v2/connect`)
    const welcome = await new Promise<Welcome>((resolve, reject) => {
      socket.onerror = () => reject(new Error('the connection failed'))
      socket.onclose = event => reject(new Error(`closed: ${event.code} ${event.reason}`))
      socket.onopen = () => {
        const session = options.session === undefined ? {} : { session: options.session }
        const ttl = options.ttlMs === undefined ? {} : { ttl_ms: options.ttlMs }
        socket.send(
          JSON.stringify([{ type: 'hello', authorization: `Bearer ${options.key ?? rootKey}`, ...session, ...ttl }]),
        )
      }
      socket.onmessage = event => {
        const [first] = JSON.parse(String(event.data)) as ServerMessage[]
        if (first?.type === 'welcome') resolve(first)
        else reject(new Error(`no welcome: ${String(event.data)}`))
      }
    })
    socket.onclose = null
    socket.onerror = null
    return new Wire(socket, welcome)
  }

  /** `<id>.<secret>` of the session. */
  get session(): string {
    return `${this.welcome.session.id}.${this.welcome.session.secret}`
  }

  /** All below have been answered: what a client may call settled. */
  get oldest(): number {
    const [first = this.nextId] = this.open.keys()
    return first
  }

  /** Sends the request with the others of this turn of the loop. Never settles if the connection dies first. */
  ask(request: Request, id = this.nextId++): Promise<Reply> {
    // The union without ids, with one again.
    const message = { ...request, id } as ClientRequest
    return new Promise(resolve => {
      this.open.set(id, { message, resolve })
      this.outbox.push(message)
      if (this.isScheduled) return
      this.isScheduled = true
      queueMicrotask(() => {
        this.isScheduled = false
        if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(this.outbox))
        this.outbox = []
      })
    })
  }

  close(): void {
    this.socket.close()
  }

  private receive(message: ServerMessage): void {
    if (message.type !== 'reply') {
      this.pushes.push(message)
      return
    }
    const asked = this.open.get(message.id)
    this.open.delete(message.id)
    asked?.resolve(message)
  }
}
