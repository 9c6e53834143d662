/** What cannot be read as HTTP never becomes a request; whoever sent it is told all the same. */
import { type ErrorCode, errors } from '@holdfast/protocol/errors'
import type { Random } from '../random.ts'
import { requestIds } from './request-ids.ts'
import { turnAway } from './turn-away.ts'

/** By the code of Node. It took too long to arrive: there is no code for that alone. */
const known: Record<string, { status: number; code: ErrorCode }> = {
  HPE_HEADER_OVERFLOW: { status: 431, code: 'headers_too_large' },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, code: 'invalid_request' },
}

/** The socket of a failure that never became a request; of TLS, with what was wrong with the certificate of the client. */
type Unread = { writable: boolean; authorizationError?: unknown; end(text: string): void; destroy(): void }

export function turnAwayUnread(nodeCode: string, socket: Unread, { random }: { random: Random }): void {
  if (nodeCode === 'ECONNRESET' || !socket.writable) return socket.destroy()
  const { status, code } = known[nodeCode] ?? { status: 400, code: 'invalid_request' as const }
  const message = code === 'invalid_request' ? messageOf(nodeCode, socket) : errors[code].summary
  turnAway(socket, { error: { code, message }, status, trace: requestIds({}, random).trace })
}

/**
 * Node takes what OpenSSL noted of the signature of a client's certificate for a failure of the connection, though a certificate that is not good is
 * let pass here (decision 0095). It cannot be read on, but whoever it is can be told.
 */
function messageOf(nodeCode: string, { authorizationError }: Unread): string {
  if (/^ERR_O?SSL_/.test(nodeCode) && authorizationError === 'CERT_SIGNATURE_FAILURE')
    return 'The client certificate names an authority of this service as its issuer, but was not signed by it. Show another, or none beside another credential.'
  return 'This is not a well-formed HTTP request, or it took too long to arrive.'
}
