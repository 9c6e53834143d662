/** A keep-alive HTTP client that costs as little as possible, so that the server is what is measured. One request at a time on each socket. */
import { connect, type Socket } from 'node:net'

export class RawHttp {
  private readonly socket: Socket
  private readonly head: string
  private pending = ''
  private resolve: ((body: string) => void) | null = null

  private constructor(socket: Socket, head: string) {
    this.socket = socket
    this.head = head
    socket.setNoDelay(true)
    socket.setEncoding('utf8')
    socket.on('data', (data: string) => this.receive(data))
  }

  static async connect(port: number, key: string): Promise<RawHttp> {
    const socket = connect(port, '127.0.0.1')
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return new RawHttp(
      socket,
      `host: 127.0.0.1:${port}\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\n`,
    )
  }

  /** The body of the reply. Throws unless the status is 2xx. `headers`: more of them, each with its line's end. */
  post(path: string, body: string, headers = ''): Promise<string> {
    this.socket.write(
      `POST ${path} HTTP/1.1\r\n${this.head}${headers}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
    return new Promise((resolve, reject) => {
      this.resolve = reply =>
        reply.startsWith('HTTP/1.1 2') ? resolve(reply.slice(reply.indexOf('\r\n\r\n') + 4)) : reject(new Error(reply))
    })
  }

  close(): void {
    this.socket.destroy()
  }

  private receive(data: string): void {
    this.pending += data
    const end = this.pending.indexOf('\r\n\r\n')
    if (end < 0) return
    const length = Number(/content-length: (\d+)/i.exec(this.pending.slice(0, end))?.[1] ?? 0)
    if (this.pending.length < end + 4 + length) return
    const reply = this.pending
    this.pending = ''
    this.resolve?.(reply)
  }
}
