/** What must be true of the store after a crash: what was said before it, and the commits that the store has taken, in order. */
import { createHash } from 'node:crypto'
import type { KeyValue, Write } from '../../packages/server/src/engine/engine.ts'
import { decodeOwner } from '../../packages/server/src/shards/ownership.ts'
import { Violation } from '../checker/judge.ts'
import { LogWitness } from '../checker/log.ts'
import type { Event, Mark } from './recording.ts'

type Granted = { lock: string; session: string }

export type Told = {
  /** The store has answered for it. */
  revision: number
  granted: Map<number, Granted>
  released: Set<number>
  opened: Set<string>
  closed: Set<string>
  /** What was asked and may have happened: tokens whose release, and sessions whose end, has been asked for. */
  isReleaseAsked: Set<number>
  isCloseAsked: Set<string>
  /** `session lock` of every acquire. */
  wanted: Set<string>
  /** Opens that were asked for. */
  opens: number
}

/** What clients know before event `cut`. */
export function toldBefore(events: readonly Event[], cut: number): Told {
  const told: Told = {
    ...{ revision: 0, granted: new Map(), released: new Set(), opened: new Set(), closed: new Set() },
    ...{ isReleaseAsked: new Set(), isCloseAsked: new Set(), wanted: new Set(), opens: 0 },
  }
  const asked = new Map<number, Extract<Mark, { say: 'asked' }>>()
  for (const event of events.slice(0, cut)) {
    if (event.type !== 'mark') continue
    const { mark } = event
    if (mark.say === 'durable') told.revision = Math.max(told.revision, mark.revision)
    else if (mark.say === 'asked') {
      asked.set(mark.number, mark)
      wish(told, mark)
    } else {
      const to = asked.get(mark.number)
      // Each life of the process counts from 1 again.
      asked.delete(mark.number)
      if (!to) throw new Error('an answer to nothing')
      if (to.what === 'open') told.opened.add(mark.session!)
      else if (to.what === 'close') told.closed.add(to.session)
      else if (to.what === 'acquire') told.granted.set(mark.token!, { lock: to.lock, session: to.session })
      else told.released.add(to.token)
    }
  }
  return told
}

function wish(told: Told, mark: Extract<Mark, { say: 'asked' }>): void {
  if (mark.what === 'open') told.opens++
  else if (mark.what === 'close') told.isCloseAsked.add(mark.session)
  else if (mark.what === 'acquire') told.wanted.add(`${mark.session} ${mark.lock}`)
  else told.isReleaseAsked.add(mark.token)
}

/** What is held after the recovery, by lock. */
export type Held = { lock: string; token: number; session: string }

/** @throws `Violation`. */
export function compare(told: Told, found: { held: readonly Held[]; sessions: ReadonlySet<string> }): void {
  const held = new Map(found.held.map(one => [one.token, one]))
  for (const [token, { lock, session }] of told.granted) {
    const one = held.get(token)
    if (told.released.has(token) || told.closed.has(session)) {
      if (one) throw new Violation(`I16: ${lock} (${token}) was released, and is held again`)
    } else if (!told.isReleaseAsked.has(token) && !told.isCloseAsked.has(session)) {
      if (!one) throw new Violation(`I16: ${lock} was granted under ${token}, and is not held`)
      if (one.lock !== lock || one.session !== session) throw new Violation(`I16: ${token} is of ${one.lock} now`)
    }
  }
  for (const { lock, session, token } of found.held)
    if (!told.wanted.has(`${session} ${lock}`)) throw new Violation(`I18: ${lock} (${token}) was never asked for`)
  for (const session of told.opened) {
    if (told.closed.has(session) && found.sessions.has(session)) throw new Violation(`I16: ${session} was closed`)
    if (!told.isCloseAsked.has(session) && !found.sessions.has(session)) throw new Violation(`I16: ${session} is gone`)
  }
}

/** Of each revision, a digest of all that the store then holds. */
export function digestsOf(commits: readonly Write[][]): string[] {
  const content = new Map<string, KeyValue>()
  return commits.map((writes, revision) => {
    for (const write of writes) {
      if ('value' in write) content.set(write.key, { key: write.key, value: write.value, modRevision: revision })
      else if ('key' in write) content.delete(write.key)
      else for (const key of [...content.keys()]) if (key >= write.from && key < write.to) content.delete(key)
    }
    return digestOf([...content.values()])
  })
}

export function digestOf(pairs: readonly KeyValue[]): string {
  const hash = createHash('sha256')
  // In the order of bytes, which for these keys is that of their characters.
  for (const { key, value, modRevision } of pairs.toSorted((one, other) => (one.key < other.key ? -1 : 1)))
    hash.update(`${key}\n${modRevision} ${value.length}\n`).update(value)
  return hash.digest('hex')
}

/**
 * Has the judges of logs read every commit, and look after each of them at what a new owner would then read: whatever the power leaves is the store after
 * one of these commits, or it is refused. @throws `Violation`. Returns how many were judged.
 */
export function judgeLog(commits: readonly Write[][], root: string): number {
  const witness = new LogWitness(root, () => undefined)
  let owner = ''
  for (const writes of commits) {
    for (const write of writes)
      if ('value' in write && write.key.endsWith('/owner')) owner = decodeOwner({ ...write, modRevision: 0 }).server
    witness.passed({ writes }, owner)
    witness.compareFolds()
  }
  return witness.counts.batches
}
