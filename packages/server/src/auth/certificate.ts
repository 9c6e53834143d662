/** The client certificate of a TLS connection, as far as TLS itself has found it good. */
import type { TLSSocket } from 'node:tls'
import type { ClientCertificate } from './identity.ts'

/** As long as a subject may be. */
const NAME_CHARS_MAX = 200

/** Looking costs some 50 µs, and a connection keeps its certificate as long as it lives. */
const seen = new WeakMap<TLSSocket, ClientCertificate | null>()

/**
 * null: none was shown, or it was not verified against the authorities of the listener, or it names nobody or several. Of use only on a listener that asks for
 * certificates (`requestCert`); one that does not reject what is not verified (`rejectUnauthorized: false`) is safe here too.
 */
export function certificateOf(socket: TLSSocket): ClientCertificate | null {
  let known = seen.get(socket)
  if (known === undefined) {
    known = read(socket)
    seen.set(socket, known)
  }
  return known
}

function read(socket: TLSSocket): ClientCertificate | null {
  if (!socket.authorized) return null
  const certificate = socket.getPeerCertificate()
  // Without a certificate it is an empty object, whatever its type says.
  if (!certificate?.raw) return null
  const name = nameOf(certificate.subject?.CN, certificate.subjectaltname)
  const expiresAtMs = Date.parse(certificate.valid_to)
  if (name === null || Number.isNaN(expiresAtMs)) return null
  return { name, fingerprint: certificate.fingerprint256, expiresAtMs }
}

/** The common name; without one the first URI or DNS name. Two common names would be one for us and perhaps the other for whoever issued it. */
function nameOf(common: string | string[] | undefined, alternatives: string | undefined): string | null {
  if (Array.isArray(common)) return null
  const name = common || alternativeOf(alternatives ?? '')
  if (!name || name.length > NAME_CHARS_MAX || /[\p{Cc}\p{Zl}\p{Zp}]/u.test(name)) return null
  return name
}

/** `URI:spiffe://…, DNS:a.example`; what could be mistaken for more of the list is quoted as in JSON, and is no name for us. */
function alternativeOf(text: string): string | null {
  const names = text.match(/(?<=^|, )(?:URI|DNS):[^",\s]+(?=$|, )/g) ?? []
  const first = names.find(name => name.startsWith('URI:')) ?? names[0]
  return first && !text.includes('"') ? first.slice(4) : null
}
