/** What a request calls itself, and what we call it. */
import type { IncomingHttpHeaders } from 'node:http'
import type { Random } from '../random.ts'

const ID_PATTERN = /^[A-Za-z0-9 ,_-]{1,1024}$/
const TRACEPARENT_PATTERN = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/

export type RequestIds = { trace: string; correlation: string | undefined; traceparent: string | undefined }

/** An id that is not well-formed is replaced, not refused. */
export function requestIds(headers: IncomingHttpHeaders, random: Random): RequestIds {
  const traceparent = headers.traceparent
  return {
    trace: idOf(headers['x-request-id']) ?? uuid(random),
    correlation:
      headers['x-correlation-id'] === undefined ? undefined : (idOf(headers['x-correlation-id']) ?? uuid(random)),
    traceparent: typeof traceparent === 'string' && TRACEPARENT_PATTERN.test(traceparent) ? traceparent : undefined,
  }
}

function idOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' && ID_PATTERN.test(header) ? header : undefined
}

/** Version 4. */
export function uuid(random: Random): string {
  const bytes = Buffer.from(random.bytes(16))
  bytes[6] = (bytes[6]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
