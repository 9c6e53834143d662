/** A WebSocket for messages that are not as they should be; and whether what comes back is as it should. */
import { strict as assert } from 'node:assert'
import { errors } from '@holdfast/protocol/errors'

/** What a connection may be closed with: gone (close), not text, malformed, policy, too large. */
const closeCodes = [1_000, 1_003, 1_007, 1_008, 1_009]

export type Message = { type: string; id?: number; error?: { code: string; message: string } }

export function assertWireError({ error }: Message): void {
  assert.ok(error && Object.hasOwn(errors, error.code), JSON.stringify(error))
  assert.notEqual(error.code, 'internal')
  assert.equal(typeof error.message, 'string')
}

/** A WebSocket that takes text as it is. */
export class Line {
  isClosed = false
  /** All that has come. */
  heardText = ''
  private readonly socket: WebSocket
  private readonly waiting = new Set<(message: Message | null) => void>()
  private nextId = 1

  private constructor(socket: WebSocket) {
    this.socket = socket
    socket.onmessage = event => {
      this.heardText += String(event.data)
      // The service's own messages; what they say is checked where it matters.
      for (const message of JSON.parse(String(event.data)) as Message[]) this.heard(message)
    }
    socket.onclose = event => {
      this.isClosed = true
      this.closedWith = event.code
      this.closedBecause = event.reason
      this.heard(null)
    }
  }

  closedWith = 0
  closedBecause = ''

  static async connect(port: number, headers: Record<string, string>): Promise<Line> {
    // Node's own takes headers, which its types, made for browsers, do not know.
    const socket = new WebSocket(`ws://127.0.0.1:${port}/v2/connect`, { headers } as unknown as string[])
    await new Promise((resolve, reject) => {
      socket.onopen = resolve
      socket.onerror = () => reject(new Error('the connection failed'))
    })
    return new Line(socket)
  }

  static async open(port: number, key: string): Promise<Line> {
    const line = await Line.connect(port, { authorization: `Bearer ${key}` })
    assert.equal((await line.raw('[{"type":"hello"}]'))?.type, 'welcome')
    return line
  }

  /** The message, and after it a question that is sure to be answered: what came before that is the message's answer. */
  async ask(bytes: Buffer): Promise<void> {
    const end = 2 ** 52 + this.nextId++
    this.socket.send(`[${bytes}]`)
    if (!this.isClosed) this.socket.send(`[{"type":"renew","id":${end}}]`)
    for (;;) {
      const message = await this.next()
      if (message === null) return assert.ok(closeCodes.includes(this.closedWith), `closed with ${this.closedWith}`)
      if (message.type === 'reply' && message.error !== undefined && message.id !== end) assertWireError(message)
      if (message.id === end && message.type === 'reply') return
    }
  }

  /** What is answered first; null: the connection was closed. */
  async raw(text: string): Promise<Message | null> {
    this.socket.send(text)
    return this.next()
  }

  close(): void {
    this.socket.close()
  }

  private readonly unread: (Message | null)[] = []

  private next(): Promise<Message | null> {
    const first = this.unread.shift()
    if (first !== undefined) return Promise.resolve(first)
    if (this.isClosed) return Promise.resolve(null)
    return new Promise(resolve => this.waiting.add(resolve))
  }

  private heard(message: Message | null): void {
    const [first] = this.waiting
    if (!first) return void this.unread.push(message)
    this.waiting.delete(first)
    first(message)
  }
}
