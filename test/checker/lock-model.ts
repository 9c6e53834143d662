/**
 * One lock that does one thing at a time, as a value: what it is at a moment, and what it becomes by a deed, or that the deed cannot be done now.
 * Exclusive and shared locks and semaphores are one thing here: whoever holds takes a part of what there is. A writer takes all of it, a reader next
 * to nothing, who holds n permits n of the limit. It knows nothing of the core.
 *
 * A try may be refused while there is room: nobody goes past who stands in line, whatever the modes. Somebody in line excuses a refusal here also
 * when he ranks below who is refused: who went before whom is judged on the log (I7). Who is refused after he waited had a moment at which he could
 * not have been granted: to be in line himself is none.
 */

export type Mode = 'exclusive' | 'shared' | 'permits'

/** `limit`: of a semaphore that nobody has configured; 0: it is not known, or there is none. */
export type Claim = { mode: Mode; permits: number; limit: number }

export type Deed =
  | { does: 'acquire'; token: number; claim?: Claim; set?: number }
  /** It is no longer held under this token: given back now, or ended before. */
  | { does: 'leave'; token: number }
  | { does: 'transfer'; token: number; to: number }
  /** It is held under this token; null: nobody holds it. */
  | { does: 'see'; held: number | null }
  /** It is not held under this token. */
  | { does: 'miss'; token: number }
  /** Refused to `by`, who was told `why`. Of a set of locks (`set`) one was not to be had, and it need not be this. */
  | { does: 'refuse'; claim: Claim; why: Why | null; by: number | null; set?: number }
  /** By its holder; null: the value is taken away. */
  | { does: 'write'; token: number | null; value: string | null }
  | { does: 'read'; value: string | null }
  /** What a grant that has ended still takes, and that it no longer does. */
  | { does: 'keep'; token: number; claim: Claim }
  | { does: 'free'; token: number }
  /** `by` has come into line, or has left it. */
  | { does: 'queue'; ticket: number; by: number | null }
  | { does: 'unqueue'; ticket: number }
  | { does: 'limit'; limit: number | null }
  | { does: 'nothing' }

/** What a refusal says: somebody holds it; nobody does, and it is kept free; or others are in line. */
export type Why = 'held' | 'delayed' | 'queued'

type Share = Claim & { token: number }

export type Lock = {
  readonly held: readonly Share[]
  readonly kept: readonly Share[]
  readonly line: readonly { ticket: number; by: number | null }[]
  /** The last number that was given away: of several permits each has one. */
  readonly last: number
  readonly value: string | null
  readonly limit: number | null
}

export const exclusive: Claim = { mode: 'exclusive', permits: 1, limit: 0 }

/** More than there are readers, or permits. */
const ALL = 2 ** 40

export const model = {
  initial: { held: [], kept: [], line: [], last: 0, value: null, limit: null } satisfies Lock as Lock,

  /** The lock after the deed, the same one if it changes nothing; null: it cannot be done now. */
  apply(lock: Lock, deed: Deed): Lock | null {
    const { held, kept, line, last } = lock
    switch (deed.does) {
      case 'acquire': {
        const claim = deed.claim ?? exclusive
        if (deed.token <= last || !hasRoom(lock, claim)) return null
        return { ...lock, held: [...held, { ...claim, token: deed.token }], last: deed.token + claim.permits - 1 }
      }
      case 'leave':
        if (deed.token > last) return null
        return shareOf(held, deed.token) ? { ...lock, held: without(held, deed.token) } : lock
      case 'transfer': {
        const share = shareOf(held, deed.token)
        if (!share || deed.to <= last) return null
        // What is handed on takes no more, also where the limit has been lowered.
        const others = without(held, deed.token)
        return { ...lock, held: [...others, { ...share, token: deed.to }], last: deed.to + share.permits - 1 }
      }
      case 'see':
        return (deed.held === null ? held.length === 0 : shareOf(held, deed.held)) ? lock : null
      case 'miss':
        return shareOf(held, deed.token) ? null : lock
      case 'refuse':
        return isRefused(lock, deed) ? lock : null
      case 'write':
        return deed.token === null || shareOf(held, deed.token) ? { ...lock, value: deed.value } : null
      case 'read':
        return lock.value === deed.value ? lock : null
      case 'keep':
        if (shareOf(held, deed.token) || shareOf(kept, deed.token)) return null
        return { ...lock, kept: [...kept, { ...deed.claim, token: deed.token }] }
      case 'free':
        return shareOf(kept, deed.token) ? { ...lock, kept: without(kept, deed.token) } : null
      case 'queue':
        if (line.some(({ ticket }) => ticket === deed.ticket)) return null
        return { ...lock, line: [...line, { ticket: deed.ticket, by: deed.by }] }
      case 'unqueue': {
        const left = line.filter(({ ticket }) => ticket !== deed.ticket)
        return left.length < line.length ? { ...lock, line: left } : null
      }
      case 'limit':
        return { ...lock, limit: deed.limit }
      case 'nothing':
        return lock
    }
  },

  /** What two ways to the same deeds may have left different; `last` is the highest of them. */
  key({ held, kept, line, value, limit }: Lock): string {
    const tokens = held.map(({ token }) => token).sort((one, other) => one - other)
    const keptFree = kept.map(({ token, mode, permits }) => `${token}${mode}${permits}`)
    return `${tokens} ${keptFree} ${line.map(({ ticket }) => ticket)} ${limit} ${value}`
  },
}

function isRefused(lock: Lock, { claim, why, by }: Extract<Deed, { does: 'refuse' }>): boolean {
  const isHeld = lock.held.length > 0
  const isKept = lock.kept.length > 0
  if (why === 'held' && !isHeld) return false
  if (why === 'delayed' && (isHeld || !isKept)) return false
  if (why === 'queued' && (isHeld || isKept)) return false
  return !hasRoom(lock, claim) || lock.line.some(other => by === null || other.by !== by)
}

function hasRoom(lock: Lock, claim: Claim): boolean {
  const { held, kept } = lock
  let taken = taking(claim)
  for (const share of held) taken += taking(share)
  for (const share of kept) taken += taking(share)
  if (claim.mode !== 'permits') return taken <= ALL
  return taken <= (lock.limit ?? (held[0]?.limit || kept[0]?.limit || claim.limit || ALL))
}

function taking({ mode, permits }: Claim): number {
  return mode === 'exclusive' ? ALL : mode === 'shared' ? 1 : permits
}

function shareOf(shares: readonly Share[], token: number): Share | undefined {
  return shares.find(share => share.token === token)
}

function without(shares: readonly Share[], token: number): Share[] {
  return shares.filter(share => share.token !== token)
}

/** Of the grant that it makes. */
export function tokenOf(deed: Deed): number | null {
  return deed.does === 'acquire' ? deed.token : deed.does === 'transfer' ? deed.to : null
}
