/**
 * IP addresses and CIDR blocks. All are compared as 128 bits, an IPv4 address as `::ffff:a.b.c.d`: whichever way a socket writes it, it is the
 * same address.
 */
import { isIP } from 'node:net'

export type Block = { network: bigint; mask: bigint }

const BITS = 128
const MAPPED = 0xffffn << 32n
/** An IPv4 prefix is that much longer as an IPv6 one. */
const MAPPED_BITS = 96

/** null: no address. A zone (`%eth0`) is not part of it. */
export function addressBits(text: string): bigint | null {
  const address = text.split('%', 1)[0] ?? ''
  const family = isIP(address)
  if (family === 4) return MAPPED | v4Bits(address)
  return family === 6 ? v6Bits(address) : null
}

/** `10.0.0.0/8`, `2001:db8::/32` or a single address; null: neither. Bits beyond the prefix's length do not count. */
export function parseBlock(text: string): Block | null {
  const [address = '', length, ...rest] = text.split('/')
  // A block is written by a person: `fe80::1%eth0` is of one machine only.
  if (rest.length > 0 || address.includes('%')) return null
  const bits = addressBits(address)
  if (bits === null) return null
  const own = isIP(address) === 4 ? BITS - MAPPED_BITS : BITS
  if (length !== undefined && !/^(0|[1-9][0-9]{0,2})$/.test(length)) return null
  const prefix = length === undefined ? own : Number(length)
  if (prefix > own) return null
  const mask = ((1n << BigInt(BITS)) - 1n) ^ ((1n << BigInt(own - prefix)) - 1n)
  return { network: bits & mask, mask }
}

export function isWithin(blocks: readonly Block[], address: string): boolean {
  const bits = addressBits(address)
  return bits !== null && blocks.some(({ network, mask }) => (bits & mask) === network)
}

/** As people write it: what is mapped is IPv4. */
export function plainAddress(text: string): string {
  const mapped = /^::ffff:([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)$/i.exec(text)
  return mapped?.[1] ?? text
}

function v4Bits(address: string): bigint {
  return address.split('.').reduce((bits, part) => (bits << 8n) | BigInt(part), 0n)
}

function v6Bits(address: string): bigint {
  const [before = '', after] = address.split('::')
  const left = groups(before)
  const right = after === undefined ? [] : groups(after)
  const zeros = Array<bigint>(8 - left.length - right.length).fill(0n)
  return [...left, ...zeros, ...right].reduce((bits, group) => (bits << 16n) | group, 0n)
}

function groups(text: string): bigint[] {
  if (text === '') return []
  return text.split(':').flatMap(part => {
    if (!part.includes('.')) return [BigInt(`0x${part}`)]
    const bits = v4Bits(part)
    return [bits >> 16n, bits & 0xffffn]
  })
}
