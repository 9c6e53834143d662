/**
 * The little of DER that certificates take, written and never read: what comes from outside is parsed by Node (`X509Certificate`), and what
 * is written wrongly here is refused by every verifier.
 */
import { isIP } from 'node:net'

const INTEGER = 0x02
const BIT_STRING = 0x03
const OCTET_STRING = 0x04
const OBJECT_IDENTIFIER = 0x06
const UTF8_STRING = 0x0c
const GENERALIZED_TIME = 0x18
const SEQUENCE = 0x30
const SET = 0x31
/** Names of hosts within the alternative names of a subject. */
const DNS_NAME = 0x82
const IP_ADDRESS = 0x87
/** Context-specific and constructed: the fields of a certificate that are numbered. */
const CONSTRUCTED = 0xa0

export function der(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content])
  const digits: number[] = []
  for (let rest = content.length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256)
  return Buffer.concat([Buffer.from([tag, 0x80 | digits.length, ...digits]), content])
}

export const sequence = (...parts: Buffer[]) => der(SEQUENCE, ...parts)
export const numbered = (number: number, ...parts: Buffer[]) => der(CONSTRUCTED | number, ...parts)
/** The same, but for a text of bytes in its place. */
export const numberedBytes = (number: number, bytes: Buffer) => der(0x80 | number, bytes)
export const octets = (bytes: Buffer) => der(OCTET_STRING, bytes)
/** Big-endian and positive: the first bit must be 0. */
export const integer = (bytes: Buffer) => der(INTEGER, bytes)
export const isTrue = () => der(0x01, Buffer.from([0xff]))
export const bits = (bytes: Buffer, { unused }: { unused: number }) =>
  der(BIT_STRING, Buffer.concat([Buffer.from([unused]), bytes]))
export const text = (value: string) => der(UTF8_STRING, Buffer.from(value))

/** `2.5.29.17` → its encoding. */
export function identifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...others] = dotted.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const part of others) {
    const septets = [part % 128]
    for (let rest = Math.floor(part / 128); rest > 0; rest = Math.floor(rest / 128)) septets.unshift(128 + (rest % 128))
    bytes.push(...septets)
  }
  return der(OBJECT_IDENTIFIER, Buffer.from(bytes))
}

/** Until the second; UTC. */
export function time(atMs: number): Buffer {
  const digits = new Date(atMs).toISOString().replace(/[-:T]/g, '').slice(0, 14)
  return der(GENERALIZED_TIME, Buffer.from(`${digits}Z`))
}

/** A subject or an issuer that has a common name and nothing else. */
export function distinguishedName(commonName: string): Buffer {
  return sequence(der(SET, sequence(identifier('2.5.4.3'), text(commonName))))
}

export function hostName(host: string): Buffer {
  const version = isIP(host)
  if (version === 0) return der(DNS_NAME, Buffer.from(host, 'ascii'))
  return der(IP_ADDRESS, version === 4 ? Buffer.from(host.split('.').map(Number)) : ipv6(host))
}

function ipv6(host: string): Buffer {
  // The parser of URLs knows all the ways to write one, and gives back hexadecimal groups with at most one gap.
  const plain = new URL(`http://[${host}]`).hostname.slice(1, -1)
  const [head = '', tail = ''] = plain.split('::')
  const groups = (half: string) => (half === '' ? [] : half.split(':'))
  const before = groups(head)
  const behind = groups(tail)
  const gap = plain.includes('::') ? Array<string>(8 - before.length - behind.length).fill('0') : []
  return Buffer.from([...before, ...gap, ...behind].map(group => group.padStart(4, '0')).join(''), 'hex')
}
