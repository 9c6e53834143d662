import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { Authority, type Pair } from '../../../../test/harness/certificates.ts'
import { certificateOf } from './certificate.ts'
import type { ClientCertificate } from './identity.ts'

const authority = new Authority('clients')
const stranger = new Authority('strangers')
const own = authority.issue('holdfast')

/** What a server that asks for certificates, but turns nobody away, sees of a client with this one. */
async function seen(
  client: Pair | null,
  protocol: 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.3',
): Promise<ClientCertificate | null> {
  const { certificate: cert, key } = own
  const server = createServer({ cert, key, ca: authority.certificate, requestCert: true, rejectUnauthorized: false })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  try {
    const arrived = new Promise<TLSSocket>(resolve => server.once('secureConnection', resolve))
    const socket = connect({
      // Listening on a host and port, the address is no text.
      port: (server.address() as AddressInfo).port,
      host: '127.0.0.1',
      ca: authority.certificate,
      maxVersion: protocol,
      ...(client && { cert: client.certificate, key: client.key }),
    })
    socket.on('error', () => undefined)
    const theirs = await arrived
    theirs.on('error', () => undefined)
    const found = certificateOf(theirs)
    assert.equal(certificateOf(theirs), found)
    socket.destroy()
    theirs.destroy()
    return found
  } finally {
    await new Promise(resolve => server.close(resolve))
  }
}

test('a verified certificate names its owner by the common name', async () => {
  for (const protocol of ['TLSv1.2', 'TLSv1.3'] as const) {
    const certificate = await seen(authority.issue('worker-7'), protocol)
    assert.equal(certificate?.name, 'worker-7')
    assert.match(certificate?.fingerprint ?? '', /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/)
    assert.ok(certificate.expiresAtMs > Date.now())
  }
})

test('a certificate of another authority, or none, names nobody', async () => {
  assert.equal(await seen(stranger.issue('worker-7')), null)
  assert.equal(await seen(null), null)
})

/** What TLS would say of a certificate like this. */
function socketWith(subject: object, subjectaltname?: string, authorized = true): TLSSocket {
  const certificate = {
    raw: Buffer.from('x'),
    subject,
    subjectaltname,
    fingerprint256: 'AA',
    valid_to: 'Jan  1 00:00:00 2040 GMT',
  }
  // As much of a socket as is looked at.
  return { authorized, getPeerCertificate: () => certificate } as unknown as TLSSocket
}

const nameOf = (subject: object, alternatives?: string) =>
  certificateOf(socketWith(subject, alternatives))?.name ?? null

test('without a common name it is the first URI, else the first DNS name', () => {
  assert.equal(nameOf({ CN: 'a' }, 'DNS:b'), 'a')
  assert.equal(nameOf({}, 'DNS:b.example, DNS:c.example'), 'b.example')
  assert.equal(nameOf({}, 'DNS:b.example, URI:spiffe://prod/ns/a/sa/b'), 'spiffe://prod/ns/a/sa/b')
  assert.equal(nameOf({}, 'IP Address:10.0.0.1, email:a@b.c'), null)
  assert.equal(nameOf({}), null)
})

test('a name that could be read in two ways is none', () => {
  assert.equal(nameOf({ CN: ['a', 'root'] }), null)
  assert.equal(nameOf({ CN: 'a\nCN=root' }), null)
  assert.equal(nameOf({ CN: 'a'.repeat(201) }), null)
  // As Node quotes what holds a comma: `URI:"spiffe://a, DNS:root"`.
  assert.equal(nameOf({}, 'URI:"spiffe://a\\u002c DNS:root", DNS:b'), null)
})

test('what TLS has not found good is not looked at, and neither is one without a date', () => {
  assert.equal(certificateOf(socketWith({ CN: 'a' }, undefined, false)), null)
  const socket = socketWith({ CN: 'a' })
  const certificate = { ...socket.getPeerCertificate(), valid_to: 'soon' }
  assert.equal(certificateOf({ authorized: true, getPeerCertificate: () => certificate } as unknown as TLSSocket), null)
})
