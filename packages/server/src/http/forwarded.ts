/**
 * What proxies say of the requests that they pass on: from which address they came, and by which URL this service was found. It is believed of proxies
 * that the operator has named (`trusted_proxies`), and of nobody else.
 *
 * Each proxy appends what it has seen itself, so lists are read from their end, and what stands before the word of the first that is not named can have
 * been written by anybody.
 */
import type { FastifyRequest } from 'fastify'
import { addressBits, type Block, isWithin, plainAddress } from '../policies/addresses.ts'
import type { Doors } from './doors.ts'

/** The address of the socket; or, behind named proxies, what the first of them says it is. */
export function addressOf(seen: Seen, trusted: readonly Block[]): string {
  return hopsOf(seen, trusted).at(-1)!
}

type Seen = { peer: string; forwarded: string }

/** From the socket outwards: as far as it is believed. */
function hopsOf({ peer, forwarded }: Seen, trusted: readonly Block[]): [string, ...string[]] {
  const hops: [string, ...string[]] = [plainAddress(peer)]
  if (trusted.length === 0 || forwarded === '') return hops
  for (const written of forwarded.split(',').reverse()) {
    if (!isWithin(trusted, hops.at(-1)!)) return hops
    const before = hopOf(written)
    // Nothing is known of what came before that proxy.
    if (before === null) return hops
    hops.push(before)
  }
  return hops
}

/** Some proxies write the port too, which is another one for each connection: `203.0.113.7:51234`, `[2001:db8::1]:443`. null: it is no address. */
function hopOf(text: string): string | null {
  const written = text.trim()
  const [, v4, v6] = /^(?:([0-9.]+):[0-9]+|\[([^\]]*)\](?::[0-9]+)?)$/.exec(written) ?? []
  const address = v4 ?? v6 ?? written
  return addressBits(address) === null ? null : plainAddress(address)
}

/** Where the caller has found us, like `https://locks.example`: what we hand out must lead back there. What is no such thing is not looked at. */
export function foundAt(request: Found, { trustedProxies }: Pick<Doors, 'trustedProxies'>): string {
  const { headers, socket, protocol, host } = request
  const seen = { peer: socket.remoteAddress ?? '', forwarded: String(headers['x-forwarded-for'] ?? '') }
  const proxies = trustedProxies.length === 0 ? [] : hopsOf(seen, trustedProxies).filter(isOf(trustedProxies))
  const scheme = wordOf(headers['x-forwarded-proto'], proxies.length)?.toLowerCase() ?? ''
  const named = wordOf(headers['x-forwarded-host'], proxies.length) ?? ''
  const name = [named, host].find(isHost) ?? 'localhost'
  return `${/^https?$/.test(scheme) ? scheme : protocol}://${name}`
}

type Found = Pick<FastifyRequest, 'headers' | 'socket' | 'protocol' | 'host'>

function isOf(trusted: readonly Block[]): (address: string) => boolean {
  return address => isWithin(trusted, address)
}

/** What the outermost of so many proxies wrote, if each appends; where they replace, there is one word. */
function wordOf(header: string | string[] | undefined, proxies: number): string | undefined {
  if (header === undefined || proxies === 0) return undefined
  const words = String(header).split(',')
  return words.at(-Math.min(proxies, words.length))?.trim()
}

function isHost(text: string): boolean {
  return /^[A-Za-z0-9.:[\]-]{1,255}$/.test(text) && URL.canParse(`http://${text}`)
}
