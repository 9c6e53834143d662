/** Whatever was thrown on the way of a request → the error that the wire knows for it. */
import type { IncomingMessage } from 'node:http'
import { type ErrorCode, errors, HoldfastError, type WireError } from '@holdfast/protocol/errors'
import { BODY_BYTES_MAX } from '@holdfast/protocol/limits'
import { failed, Refused } from './reply.ts'

/** Fastify's own codes that a request can cause. */
const frameworkCodes: Record<string, ErrorCode> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'invalid_request',
  FST_ERR_MAX_PARAM_LENGTH: 'path_too_long',
}

/** `raw` is the request as it arrived. */
export function wireErrorOf(error: unknown, raw: Pick<IncomingMessage, 'errored'>): WireError {
  if (error instanceof Refused) return error.wire
  if (error instanceof HoldfastError) return failed(error)
  // Nobody reads this; it is no failure of ours that a client has gone in the middle of its body.
  if (error !== null && raw.errored === error) return { code: 'invalid_request', message: 'The body has broken off.' }
  const own = error as { code?: string; statusCode?: number; message?: string } // read as unknown fields of anything
  const code = frameworkCodes[own.code ?? '']
  if (code === 'body_too_large')
    return { code, message: `The body has more than ${BODY_BYTES_MAX} bytes.`, limit: BODY_BYTES_MAX }
  if (code === 'invalid_request')
    return {
      code,
      message: 'The body has not the length that `Content-Length` says.',
      target: { type: 'header', name: 'Content-Length' },
    }
  if (code) return { code, message: errors[code].summary }
  return { code: 'internal', message: errors.internal.summary }
}
