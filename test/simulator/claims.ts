/** The locks that clients take, what they ask of each, and what its history says of the answer. */
import type { Lock } from '../../packages/client/src/lock.ts'
import { type Claim, type Deed, exclusive, type Why } from '../checker/lock-model.ts'
import type { Chance } from './chance.ts'

export const exclusiveLocks = ['hot/1', 'hot/2', 'hot']
export const sharedLock = 'both'
export const semaphore = { name: 'permits', limit: 3 }
/** Operators say what its limit is, and change it. */
export const configuredLock = 'configured'

const shared: Claim = { ...exclusive, mode: 'shared' }

type Named = Claim & { name: string }

export const sets = {
  exclusive: [
    { ...exclusive, name: 'hot/1' },
    { ...exclusive, name: 'hot/2' },
  ],
  mixed: [
    { ...exclusive, name: 'hot' },
    { mode: 'permits', permits: 1, limit: semaphore.limit, name: semaphore.name },
  ],
} satisfies Record<string, Named[]>

export function claimed(name: string, { chance, isWide }: { chance: Chance; isWide: boolean }): Claim {
  if (name === sharedLock) return chance.below(3) === 0 ? exclusive : shared
  if (exclusiveLocks.includes(name)) return exclusive
  const namesLimit = name === semaphore.name && !(isWide && chance.below(3) === 0)
  return { mode: 'permits', permits: 1 + chance.below(2), limit: namesLimit ? semaphore.limit : 0 }
}

/** As the library has it. */
export function asked({ name, mode, limit }: Named) {
  return mode === 'permits' ? { name, mode, limit } : name
}

/** It was granted. */
export function heldBy({ token, mode, permits }: Lock, set?: number): Deed {
  const claim: Claim = { mode, permits, limit: 0 }
  return { does: 'acquire', token, claim, ...(set !== undefined && { set }) }
}

/** It was not, for this reason. */
export function refusalOf(reason: unknown, asked: { claim: Claim; by: number | null; set?: number }): Deed {
  const { claim, by, set } = asked
  const { mode, permits, limit } = claim
  if (reason === 'cancelled') return { does: 'nothing' }
  const why: Why | null = reason === 'held' || reason === 'delayed' || reason === 'queued' ? reason : null
  const refused = { does: 'refuse' as const, claim: { mode, permits, limit }, by }
  // Of a set any of the locks may be the one that was held.
  return set === undefined ? { ...refused, why } : { ...refused, why: null, set }
}
