/**
 * The certificates of a cluster of its own: an authority, and what it signs for its etcd members and their clients (ECDSA P-256, X.509
 * version 3). Node makes keys and signatures; only the frame around them is written here (decision 0070).
 *
 * A certificate and its key are one PEM text, so that they lie in one file and are replaced in one step: no reader ever finds a certificate
 * with the key of another.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  X509Certificate,
} from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { Random } from '../random.ts'
import * as der from './der.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** Clocks of two machines differ. */
const BACKDATED_MS = HOUR_MS
/** Renewed by `cluster up` where the authority's key lies; elsewhere a yearly task that `status` and `doctor` remind of. */
export const LEAF_MS = 365 * DAY_MS
export const AUTHORITY_MS = 10 * 365 * DAY_MS
/** Less left than this is worth a reminder, and where it can be done, renewal. */
export const RENEW_MS = 60 * DAY_MS
/** 120 random bits: no two alike. */
const SERIAL_BYTES = 15

const oid = {
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  subjectAltName: '2.5.29.17',
  subjectKeyId: '2.5.29.14',
  authorityKeyId: '2.5.29.35',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
}
const SIGNS_CERTIFICATES_AND_LISTS = Buffer.from([0x06])
const SIGNS = Buffer.from([0x80])

type Surroundings = { clock: Clock; random: Random }
/** `server` shows itself to both sides, for members are clients of each other. */
export type Purpose = 'server' | 'client'

export class Authority {
  readonly #key: KeyObject
  readonly #name: string
  /** PEM, without its key. */
  readonly certificate: string
  /** When it was made, by the clock of then: no clock that is right says an earlier time. */
  readonly validFrom: number

  private constructor(certificate: string, key: KeyObject) {
    this.certificate = certificate
    this.#key = key
    const facts = factsOf(certificate)
    this.#name = facts.name
    this.validFrom = facts.validFrom
  }

  static create(name: string, { clock, random }: Surroundings): Authority {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const extensions = [
      extension(oid.basicConstraints, der.sequence(der.isTrue()), { isCritical: true }),
      extension(oid.keyUsage, der.bits(SIGNS_CERTIFICATES_AND_LISTS, { unused: 1 }), { isCritical: true }),
    ]
    const issuer = { name, key: privateKey }
    const validMs = AUTHORITY_MS
    return new Authority(certify({ issuer, name, publicKey, extensions, validMs, clock, random }), privateKey)
  }

  /** From what `pem` gave. @throws when it is no authority of ours. */
  static from(pem: string): Authority {
    return new Authority(certificatesIn(pem)[0] ?? '', createPrivateKey(pem))
  }

  /** Certificate and key: who has this can be anybody in the cluster. */
  get pem(): string {
    return this.certificate + exportKey(this.#key)
  }

  /** Certificate and key in one text, for the hosts by which others reach it; good from `since` on, by default from now. */
  issue(
    { name, purpose, hosts, since }: { name: string; purpose: Purpose; hosts: readonly string[]; since?: number },
    { clock, random }: Surroundings,
  ): string {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const usages = purpose === 'server' ? [oid.serverAuth, oid.clientAuth] : [oid.clientAuth]
    const extensions = [
      extension(oid.basicConstraints, der.sequence(), { isCritical: true }),
      extension(oid.keyUsage, der.bits(SIGNS, { unused: 7 }), { isCritical: true }),
      extension(oid.extendedKeyUsage, der.sequence(...usages.map(der.identifier))),
      ...(hosts.length > 0 ? [extension(oid.subjectAltName, der.sequence(...hosts.map(der.hostName)))] : []),
    ]
    const issuer = { name: this.#name, key: this.#key }
    const validMs = LEAF_MS
    return (
      certify({
        issuer,
        name,
        publicKey,
        extensions,
        validMs,
        ...(since === undefined ? {} : { since }),
        clock,
        random,
      }) + exportKey(privateKey)
    )
  }
}

export type CertificateFacts = { name: string; validFrom: number; expiresAt: number; fingerprint: string }

/** Of the first certificate in the text. @throws when there is none. */
export function factsOf(pem: string): CertificateFacts {
  const certificate = new X509Certificate(pem)
  return {
    name: commonNameOf(certificate),
    validFrom: Date.parse(certificate.validFrom),
    expiresAt: Date.parse(certificate.validTo),
    fingerprint: certificate.fingerprint256,
  }
}

/** Whether a new one should take its place: little is left of it, or it was made while the clock was ahead. */
export function isDue(
  { validFrom, expiresAt }: Pick<CertificateFacts, 'validFrom' | 'expiresAt'>,
  nowMs: number,
): boolean {
  return expiresAt - nowMs < RENEW_MS || validFrom > nowMs
}

/** Whether one of the authorities has signed it. */
export function isSignedByOneOf(pem: string, authorities: string): boolean {
  const leaf = new X509Certificate(pem)
  return certificatesIn(authorities).some(authority => leaf.verify(new X509Certificate(authority).publicKey))
}

/** The certificates of a bundle, each as a text of its own. */
export function certificatesIn(pem: string): string[] {
  return (pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----\n?/g) ?? []).map(
    certificate => `${certificate.trim()}\n`,
  )
}

function commonNameOf(certificate: X509Certificate): string {
  return /^CN=(.*)$/m.exec(certificate.subject)?.[1] ?? ''
}

function exportKey(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}

type Certified = Surroundings & {
  issuer: { name: string; key: KeyObject }
  name: string
  publicKey: KeyObject
  extensions: Buffer[]
  validMs: number
  since?: number
}

function certify({ issuer, name, publicKey, extensions, validMs, since, clock, random }: Certified): string {
  const nowMs = clock.wallMs()
  const fromMs = Math.min(since ?? nowMs, nowMs - BACKDATED_MS)
  const algorithm = der.sequence(der.identifier(oid.ecdsaWithSha256))
  const keyIds = [
    extension(oid.subjectKeyId, der.octets(keyId(publicKey))),
    extension(oid.authorityKeyId, der.sequence(der.numberedBytes(0, keyId(createPublicKey(issuer.key))))),
  ]
  const toSign = der.sequence(
    // Version 3 is written as 2.
    der.numbered(0, der.integer(Buffer.from([2]))),
    der.integer(Buffer.concat([Buffer.from([1]), random.bytes(SERIAL_BYTES)])),
    algorithm,
    der.distinguishedName(issuer.name),
    der.sequence(der.time(fromMs), der.time(nowMs + validMs)),
    der.distinguishedName(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    der.numbered(3, der.sequence(...extensions, ...keyIds)),
  )
  const whole = der.sequence(toSign, algorithm, der.bits(sign('sha256', toSign, issuer.key), { unused: 0 }))
  const lines = whole.toString('base64').match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}

function extension(id: string, value: Buffer, { isCritical } = { isCritical: false }): Buffer {
  return der.sequence(der.identifier(id), ...(isCritical ? [der.isTrue()] : []), der.octets(value))
}

/** SHA-1 here is a name, not a protection (RFC 5280, 4.2.1.2). */
function keyId(key: KeyObject): Buffer {
  return createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest()
}
