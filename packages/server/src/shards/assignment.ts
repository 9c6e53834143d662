/**
 * Which server should decide for which shard. All servers come to the same answer from the same records, by rendezvous hashing: each shard ranks the
 * servers by a digest of its number and their ids, and goes to the first of them that has not got its share yet. So the shares are equal, and one who
 * joins or leaves moves little more than the shards that are its own to move.
 *
 * It is a plan, not a right: only the commit on the owner record gives a shard to anybody.
 */
import { hash } from 'node:crypto'
import type { View } from './observer.ts'

/** A shard that nobody has taken although somebody should have goes to the next in its ranking after this long, and so on. */
export const PASSED_OVER_MS = 1_000
/** A server that has just come gets no shards from those who have them: it may be one that dies again at once. */
export const SETTLED_MS = 1_000

export type Plan = {
  /** Nobody decides for these, and it is for us to. */
  take: number[]
  /** These are ours, and another server should have them. */
  give: number[]
}

export type PlanOptions = {
  view: View
  /** This start of this server. */
  self: string
  /** Shards that this server has, is about to have, or is giving up. */
  hosted: ReadonlySet<number>
  /** For how long the shard has had no owner that lives. */
  unownedMs(shard: number): number
  /** For how long this server has seen the other. */
  knownMs(server: string): number
}

export function planOf({ view, self, hosted, unownedMs, knownMs }: PlanOptions): Plan {
  const plan: Plan = { take: [], give: [] }
  const candidates = candidatesOf(view)
  const rankings = rankingsOf(view.owners.length, candidates)
  view.owners.forEach((owner, shard) => {
    const ranking = readersOf(view, shard, rankings[shard] ?? [])
    const isOwned = owner !== null && view.members.has(owner.server)
    if (hosted.has(shard)) {
      const [best] = ranking
      const isGiven = best !== undefined && best !== self && owner?.server === self && knownMs(best) >= SETTLED_MS
      if (isGiven) plan.give.push(shard)
      return
    }
    if (isOwned && owner.server !== self) return
    const place = ranking.indexOf(self)
    // Named in the record and not hosting it: a commit of ours whose outcome we never heard (SAFETY O13). Nobody else may take it while we live, whoever's
    // turn it would be; if it should be another's we give it up in good order.
    if (isOwned) plan.take.push(shard)
    else if (place >= 0 && unownedMs(shard) >= place * PASSED_OVER_MS) plan.take.push(shard)
  })
  return plan
}

/**
 * Who may have shards: all who stay, but for those whom more than half of all servers cannot reach. Such a one can still be alive, with the store and
 * nobody else in reach, and would keep its shards from everybody (SAFETY O13). If that is so of all, it is the network between them: then it is as if of none.
 */
function candidatesOf({ members }: View): string[] {
  const complaints = new Map<string, number>()
  for (const { unreachable = [] } of members.values())
    for (const server of unreachable) complaints.set(server, (complaints.get(server) ?? 0) + 1)
  const staying = [...members.values()].filter(member => !member.isLeaving).map(member => member.server)
  const reachable = staying.filter(server => (complaints.get(server) ?? 0) <= members.size / 2)
  return reachable.length > 0 ? reachable : staying
}

/** In a cluster that is being upgraded older servers may not be able to read what newer ones have written. If none can it is as if all could: they look again. */
function readersOf({ members }: View, shard: number, ranking: string[]): string[] {
  const readers = ranking.filter(server => !members.get(server)?.unreadable?.includes(shard))
  return readers.length > 0 ? readers : ranking
}

/** By shard: the servers, the one that should have it first. */
export function rankingsOf(shards: number, servers: readonly string[]): string[][] {
  const shareMax = Math.ceil(shards / Math.max(1, servers.length))
  const shares = new Map<string, number>()
  return Array.from({ length: shards }, (_, shard) => {
    const ranking = rankingOf(shard, servers)
    const place = ranking.findIndex(server => (shares.get(server) ?? 0) < shareMax)
    const [first] = ranking.splice(place, 1)
    if (first === undefined) return []
    shares.set(first, (shares.get(first) ?? 0) + 1)
    return [first, ...ranking]
  })
}

function rankingOf(shard: number, servers: readonly string[]): string[] {
  return servers
    .map(server => ({ server, weight: hash('sha256', `${shard} ${server}`, 'hex') }))
    .sort((one, other) => (one.weight < other.weight ? 1 : -1))
    .map(({ server }) => server)
}
