/**
 * A crowd of raw WebSockets in a process of its own, each with a session that it renews: `node sockets.ts URL KEY COUNT EVERY_MS SECONDS`.
 * Sockets by hand: what is measured is the server, and a full client for each would cost more than it. Prints one line of JSON when the crowd
 * stands, and one when it is done.
 */
import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'

const [url = '', key = '', countText = '0', everyText = '0', secondsText = '0'] = process.argv.slice(2)
const { hostname, port } = new URL(url)
const count = Number(countText)
const everyMs = Number(everyText)
/** One local address has 28,000 ports to offer, and the more of them are taken the longer the system looks for one that is not. */
const SOCKETS_PER_ADDRESS = 4_000
/** Sockets opened at a time. */
const OPENING = 200
const TTL_MS = 60_000

/** First bytes of frames that are whole, and what a client answers to a ping: who does not is taken for dead. */
const TEXT_FRAME = 0x81
const PING_FRAME = 0x89
const PONG = Buffer.from([0x8a, 0x80, 0, 0, 0, 0])

/** A client's text frame; the mask is zero, which is as good a mask as any against nobody. */
function frame(text: string): Buffer {
  const payload = Buffer.from(text)
  const head =
    payload.length < 126
      ? Buffer.from([TEXT_FRAME, 0x80 | payload.length, 0, 0, 0, 0])
      : Buffer.from([TEXT_FRAME, 0x80 | 126, payload.length >> 8, payload.length & 255, 0, 0, 0, 0])
  return Buffer.concat([head, payload])
}

let replies = 0

function join(index: number): Promise<Socket> {
  const localAddress = hostname === '127.0.0.1' ? `127.0.0.${2 + Math.floor(index / SOCKETS_PER_ADDRESS)}` : undefined
  const socket = connect({ host: hostname, port: Number(port), ...(localAddress && { localAddress }) })
  socket.setNoDelay(true)
  return new Promise((resolve, reject) => {
    let stage = 0
    socket.once('error', reject)
    socket.once('close', () => {
      const error = new Error('the server closed a socket')
      if (stage < 2) reject(error)
      else throw error
    })
    socket.once('connect', () => {
      const upgrade = `GET /v2/connect HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer ${key}\r\nupgrade: websocket\r\nconnection: upgrade\r\n`
      socket.write(
        `${upgrade}sec-websocket-version: 13\r\nsec-websocket-key: ${randomBytes(16).toString('base64')}\r\n\r\n`,
      )
    })
    socket.on('data', data => {
      if (stage === 2 && data[0] === PING_FRAME) socket.write(PONG)
      else if (stage === 2) replies++
      else if (stage === 0 && data.includes('101')) {
        stage = 1
        socket.write(frame(`[{"type":"hello","ttl_ms":${TTL_MS}}]`))
      } else if (data.includes('welcome')) {
        stage = 2
        resolve(socket)
      } else reject(new Error(data.toString()))
    })
  })
}

const sockets: Socket[] = []
for (let start = 0; start < count; start += OPENING) {
  sockets.push(
    ...(await Promise.all(Array.from({ length: Math.min(OPENING, count - start) }, (_, index) => join(start + index)))),
  )
}
console.log(JSON.stringify({ joined: sockets.length }))

let sent = 0
const began = performance.now()
const end = began + Number(secondsText) * 1000
let at = 0
let id = 1
while (performance.now() < end) {
  const due = Math.floor(((performance.now() - began) / everyMs) * count)
  for (; sent < due; sent++) {
    sockets[at]?.write(frame(`[{"type":"renew","id":${id}}]`))
    at++
    if (at === count) {
      at = 0
      id++
    }
  }
  await new Promise(resolve => setTimeout(resolve, 2))
}
await new Promise(resolve => setTimeout(resolve, 500))
console.log(JSON.stringify({ sent, replies, seconds: (performance.now() - began) / 1000 }))
process.exit(0)
