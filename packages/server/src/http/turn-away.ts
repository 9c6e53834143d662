/** Refusals of what never becomes a request, or does not become a WebSocket: plain HTTP, written on the socket, which ends with it. */
import { type IncomingHttpHeaders, STATUS_CODES } from 'node:http'
import type { WireError } from '@holdfast/protocol/errors'
import { container } from './container.ts'

type Refusal = {
  error: WireError
  trace: string
  /** Where it is not that of the code. */
  status?: number
  /** Of the request, as far as they were read. */
  asked?: IncomingHttpHeaders
  /** Of the answer, beside those of every refusal. */
  headers?: Readonly<Record<string, string>>
}

export function turnAway(
  socket: { end(text: string): unknown },
  { error, trace, asked = {}, headers = {}, ...rest }: Refusal,
): void {
  const { status: own, type, text } = container(asked, error, trace)
  const status = rest.status ?? own
  const all = {
    'content-type': type,
    'content-length': String(Buffer.byteLength(text)),
    'x-request-id': trace,
    connection: 'close',
    ...headers,
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('\r\n')}\r\n\r\n${text}`)
}
