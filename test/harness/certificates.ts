/**
 * Certificates for tests: an authority, and what it signs for servers and clients (ECDSA P-256, X.509 version 3). The little of DER that
 * this takes is written out; Node makes the keys and the signatures (decision 0053).
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIP } from 'node:net'

export type Pair = { certificate: string; key: string }

const SEQUENCE = 0x30
const SET = 0x31
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const oid = {
  commonName: '550403',
  ecdsaWithSha256: '2a8648ce3d040302',
  basicConstraints: '551d13',
  keyUsage: '551d0f',
  extendedKeyUsage: '551d25',
  subjectAltName: '551d11',
  subjectKeyId: '551d0e',
  authorityKeyId: '551d23',
  serverAuth: '2b06010505070301',
  clientAuth: '2b06010505070302',
}

export class Authority {
  readonly #name: string
  readonly #hasKeyIds: boolean
  readonly #keys = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  /** PEM. */
  readonly certificate: string

  /** Without ids of keys in its certificates, issuers are known by their names alone. */
  constructor(name: string, { hasKeyIds = true }: { hasKeyIds?: boolean } = {}) {
    this.#name = name
    this.#hasKeyIds = hasKeyIds
    const extensions = [
      extension(oid.basicConstraints, der(SEQUENCE, boolean(true)), true),
      // Signs certificates and lists of revoked ones.
      extension(oid.keyUsage, bitString(Buffer.from([0x06]), 1), true),
    ]
    this.certificate = this.#certify(name, this.#keys.publicKey, extensions)
  }

  /** For a server under these names and addresses, or a client, or both. */
  issue(name: string, hosts: string[] = ['127.0.0.1', '::1', 'localhost']): Pair {
    const keys = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const extensions = [
      extension(oid.basicConstraints, der(SEQUENCE), true),
      // Digital signatures.
      extension(oid.keyUsage, bitString(Buffer.from([0x80]), 7), true),
      extension(oid.extendedKeyUsage, der(SEQUENCE, identifier(oid.serverAuth), identifier(oid.clientAuth))),
      extension(oid.subjectAltName, der(SEQUENCE, ...hosts.map(generalName))),
    ]
    const key = keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    return { certificate: this.#certify(name, keys.publicKey, extensions), key }
  }

  #certify(subject: string, publicKey: KeyObject, extensions: Buffer[]): string {
    const now = Date.now()
    const spki = publicKey.export({ type: 'spki', format: 'der' })
    const ids = [
      extension(oid.subjectKeyId, der(0x04, keyId(publicKey))),
      extension(oid.authorityKeyId, der(SEQUENCE, der(0x80, keyId(this.#keys.publicKey)))),
    ]
    const toSign = der(
      SEQUENCE,
      der(0xa0, integer(Buffer.from([2]))),
      integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
      der(SEQUENCE, identifier(oid.ecdsaWithSha256)),
      distinguishedName(this.#name),
      der(SEQUENCE, time(now - HOUR_MS), time(now + DAY_MS)),
      distinguishedName(subject),
      spki,
      der(0xa3, der(SEQUENCE, ...extensions, ...(this.#hasKeyIds ? ids : []))),
    )
    const signature = sign('sha256', toSign, this.#keys.privateKey)
    const whole = der(SEQUENCE, toSign, der(SEQUENCE, identifier(oid.ecdsaWithSha256)), bitString(signature, 0))
    const lines = whole.toString('base64').match(/.{1,64}/g) ?? []
    return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
  }
}

function der(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  const length =
    content.length < 128
      ? [content.length]
      : content.length < 256
        ? [0x81, content.length]
        : [0x82, content.length >> 8, content.length & 255]
  return Buffer.concat([Buffer.from([tag, ...length]), content])
}

const identifier = (hex: string) => der(0x06, Buffer.from(hex, 'hex'))
const integer = (bytes: Buffer) => der(0x02, bytes)
const boolean = (value: boolean) => der(0x01, Buffer.from([value ? 0xff : 0]))
const bitString = (bytes: Buffer, unused: number) => der(0x03, Buffer.from([unused]), bytes)
const time = (at: number) => der(0x18, Buffer.from(`${new Date(at).toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`))
const keyId = (key: KeyObject) =>
  createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest()

function distinguishedName(name: string): Buffer {
  return der(SEQUENCE, der(SET, der(SEQUENCE, identifier(oid.commonName), der(0x0c, Buffer.from(name)))))
}

function extension(id: string, value: Buffer, isCritical = false): Buffer {
  return der(SEQUENCE, identifier(id), ...(isCritical ? [boolean(true)] : []), der(0x04, value))
}

function generalName(host: string): Buffer {
  if (isIP(host) === 0) return der(0x82, Buffer.from(host))
  if (isIP(host) === 4) return der(0x87, Buffer.from(host.split('.').map(Number)))
  // Only short forms are written here: `::1` and the like.
  const groups = host.split('::').map(half => half.split(':').filter(group => group !== ''))
  const [head = [], tail = []] = groups
  const all = [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail]
  return der(0x87, Buffer.concat(all.map(group => Buffer.from(group.padStart(4, '0'), 'hex'))))
}
