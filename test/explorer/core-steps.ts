/**
 * The pure core under every command of two sessions on one or two locks, in every order, with time that passes in steps of half a TTL and the cleaner at any
 * moment. Judged entry by entry as everywhere. Two states are the same when what the log would bring back is, and the deadlines, all told from now.
 */
import { strict as assert } from 'node:assert'
import type { Command } from '../../packages/server/src/locks/model.ts'
import { acquireOf, claimOf, picture, World } from '../simulation/core-world.ts'
import type { Steps } from './explore.ts'

const TTL_MS = 1_000
/** Numbers are handed out from here on. */
const NUMBERS = 2 ** 32

export type CoreWorld = { sessions: number; locks: ('exclusive' | 'both' | 'permits')[]; cleans: boolean }

export function coreSteps({ sessions, locks, cleans }: CoreWorld): Steps {
  const world = new World()
  const ids = Array.from({ length: sessions }, () => world.open(TTL_MS))
  const names = ids.map((_, place) => String.fromCharCode(97 + place))
  const claimsOf = (kind: CoreWorld['locks'][number]) => {
    if (kind === 'permits') return [claimOf('permits', { mode: 'permits', permits: 1, limit: 2 })]
    if (kind === 'both') return [claimOf('both'), claimOf('both', { mode: 'shared' })]
    return [claimOf('exclusive')]
  }
  const commands = (): Map<string, Command> => {
    const all = new Map<string, Command>()
    ids.forEach((session, place) => {
      const who = names[place] ?? ''
      const state = world.state.sessions.get(session)
      if (!state?.record) return
      for (const claim of locks.flatMap(claimsOf)) {
        all.set(`${who} tries ${claim.lock} ${claim.mode}`, acquireOf(session, [claim]))
        all.set(
          `${who} waits for ${claim.lock} ${claim.mode}`,
          acquireOf(session, [claim], { waitMs: null, task: who }),
        )
        all.set(
          `${who} preempts ${claim.lock} ${claim.mode}`,
          acquireOf(session, [claim], { waitMs: null, priority: 1, preempt: 'graceful', task: who }),
        )
      }
      for (const grant of state.grants)
        all.set(`${who} releases ${grant.lock} ${rankOf(world, grant.token)}`, {
          type: 'release',
          by: 'test',
          session,
          grants: [{ lock: grant.lock, token: grant.token }],
          request: null,
        })
      all.set(`${who} renews`, { type: 'renew', by: 'test', session, seenChanges: state.record.changes })
      all.set(`${who} closes`, { type: 'close_session', by: 'test', session })
    })
    for (const lock of world.state.locks.values())
      if (lock.grants.length > 0)
        all.set(`force ${lock.name}`, {
          type: 'force_release',
          by: 'o',
          lock: lock.name,
          token: null,
          reason: '',
          now: false,
        })
    return all
  }
  return {
    steps: () => [...commands().keys(), 'time passes', ...(cleans ? ['the cleaner comes'] : [])],
    take(step) {
      if (step === 'time passes') return world.pass(TTL_MS / 2)
      if (step === 'the cleaner comes') {
        world.clean(world.log.length)
        return assert.deepEqual(picture(world.replay()), picture(world.state))
      }
      const command = commands().get(step)
      if (!command) throw new Error(`there is no step ${step}`)
      world.do(command)
    },
    state: () => canonical(world),
  }
}

/** Which of the numbers that are there it is. */
function rankOf(world: World, token: number): number {
  const tokens = [...world.state.locks.values()].flatMap(({ grants }) => grants.map(grant => grant.token))
  return tokens.sort((one, other) => one - other).indexOf(token)
}

/** Without what only tells how long it took to come here: numbers by their order, times from now. */
function canonical(world: World): string {
  const deadlines = [...world.state.sessions.values()]
    .filter(({ record }) => record)
    .map(({ deadlineMs }) => deadlineMs)
  const due = world.due.map(({ dueMs, command }) => [dueMs, command])
  const numbers = new Set<number>()
  const all = { picture: picture(world.state), deadlines, due }
  JSON.stringify(all, (_, value) => {
    if (typeof value === 'number' && value >= NUMBERS && value < WALL) numbers.add(value)
    return value
  })
  const sorted = [...numbers].sort((one, other) => one - other)
  return JSON.stringify(all, (key, value) => {
    if (typeof value !== 'number') return value
    if (value >= WALL || key === 'at') return 0
    if (value >= NUMBERS) return `#${sorted.indexOf(value)}`
    return isTime(key) && value !== 0 ? value - world.now : value
  })
}

/** Wall times are far above. */
const WALL = 1_600_000_000_000
const isTime = (key: string) => /^(sinceMs|rank|endsMs|\w+UntilMs|\d+)$/.test(key)
