/** Sockets by hand, for what no well-behaved client sends: the bytes are the test's own. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { rootKey } from './server.ts'

/** One address of this machine has 28,000 ports to offer; each block of sockets gets an address of its own. */
const SOCKETS_PER_ADDRESS = 20_000

export class RawSocket {
  readonly socket: Socket
  /** What has come, as Latin-1 text, the last 64 KiB. */
  received = ''
  isClosed = false

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', data => {
      this.received = (this.received + data.toString('latin1')).slice(-65_536)
    })
    socket.on('close', () => {
      this.isClosed = true
    })
    // How it ends is seen in `isClosed`; a reset is one way.
    socket.on('error', () => {})
  }

  static async open(port: number, index = 0): Promise<RawSocket> {
    const socket = connect({
      port,
      host: '127.0.0.1',
      localAddress: `127.0.0.${2 + Math.floor(index / SOCKETS_PER_ADDRESS)}`,
    })
    socket.setNoDelay(true)
    await once(socket, 'connect')
    return new RawSocket(socket)
  }

  /** A WebSocket, greeted unless told otherwise. */
  static async upgraded(port: number, { index = 0, isGreeted = true, key = rootKey } = {}): Promise<RawSocket> {
    const raw = await RawSocket.open(port, index)
    raw.send(
      `GET /v2/connect HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\nupgrade: websocket\r\nconnection: upgrade\r\n` +
        'sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    )
    await raw.says('HTTP/1.1 101')
    // Who answers no ping is taken for gone. No JSON has these two bytes.
    const ping = Buffer.from([0x80 + opcodes.ping, 0])
    raw.socket.on('data', data => {
      if (data.includes(ping)) raw.send(frame('', { opcode: opcodes.pong }))
    })
    if (!isGreeted) return raw
    raw.send(frame('[{"type":"hello","ttl_ms":60000}]'))
    await raw.says('welcome')
    return raw
  }

  send(bytes: string | Buffer): void {
    this.socket.write(bytes)
  }

  /** Resolves when the text has come; rejects when the socket has closed without it. */
  async says(text: string): Promise<void> {
    while (!this.received.includes(text)) {
      if (this.isClosed) throw new Error(`closed without saying ${text}: ${this.received.slice(-500)}`)
      await Promise.race([once(this.socket, 'data'), once(this.socket, 'close')])
    }
  }

  /** Resolves when the server has closed it. */
  async closed(): Promise<void> {
    while (!this.isClosed) await sleep(10)
  }

  /** The code of the close frame that has come last; null: none has. */
  get closeCode(): number | null {
    const at = this.received.lastIndexOf('\x88')
    if (at < 0 || this.received.length < at + 4) return null
    return this.received.charCodeAt(at + 2) * 256 + this.received.charCodeAt(at + 3)
  }

  destroy(): void {
    this.socket.destroy()
  }
}

export const opcodes = { continuation: 0, text: 1, binary: 2, reserved: 3, close: 8, ping: 9, pong: 10 } as const

/** A client's frame. The mask is zero, as good a mask as any against nobody. `claims` lies about the length. */
export function frame(
  payload: string | Buffer,
  options: { opcode?: number; isFinal?: boolean; isMasked?: boolean; claims?: bigint } = {},
): Buffer {
  const { opcode = opcodes.text, isFinal = true, isMasked = true } = options
  const content = Buffer.from(payload)
  const length = options.claims ?? BigInt(content.length)
  const head = Buffer.alloc(10)
  head[0] = (isFinal ? 0x80 : 0) | opcode
  const mask = isMasked ? 0x80 : 0
  let size = 2
  if (length < 126n) head[1] = mask | Number(length)
  else if (length < 65_536n) {
    head[1] = mask | 126
    head.writeUInt16BE(Number(length), 2)
    size = 4
  } else {
    head[1] = mask | 127
    head.writeBigUInt64BE(length, 2)
    size = 10
  }
  return Buffer.concat([head.subarray(0, size), Buffer.alloc(isMasked ? 4 : 0), content])
}
