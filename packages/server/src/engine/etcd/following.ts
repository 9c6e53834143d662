/**
 * Members come and go while a server runs. If it only knew those that it was started with, it would be left alone when the last of them has been
 * replaced. So it looks at etcd's own list from time to time, and asks those whom it finds there.
 *
 * That list has the addresses which members advertise, and these need not be reachable from here: there may be a proxy or a forwarded port in
 * between. Only where every configured address is one that a member advertises is the list taken for the way to them.
 */
import type { Member } from './calls.ts'
import { endpointIn } from './channel.ts'

/** A replacement takes etcd more than five seconds: two of them are seen one after the other. */
export const FOLLOW_MS = 4_000

/** Whether members are reached here as they advertise themselves. */
export function isAsAdvertised(urls: readonly string[], members: readonly Member[]): boolean {
  const advertised = new Set(members.flatMap(advertisedBy))
  return urls.every(url => advertised.has(url))
}

/** The addresses to use from now on: of each member that has a vote one, that which is used already if there is one. */
export function followed(urls: readonly string[], members: readonly Member[]): string[] {
  return members
    .filter(({ isLearner }) => !isLearner)
    .flatMap(member => {
      const advertised = advertisedBy(member)
      const known = advertised.filter(url => urls.includes(url))
      return known.length > 0 ? known : advertised.slice(0, 1)
    })
}

/** Those that can be asked from here. None before its first start. */
function advertisedBy({ clientURLs }: Member): string[] {
  return clientURLs.flatMap(url => endpointIn(url)?.url ?? [])
}
