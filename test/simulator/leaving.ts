/** The end of a run: everybody leaves, some without a word, and what they leave is over when it is to be, to the last of it. */
import { Violation } from '../checker/judge.ts'
import { chanceOf } from './chance.ts'
import type { World } from './world.ts'

/** Of clients: they are gone and say nothing. */
const GONE_RATE = 0.5
/** Expiry of what nobody renews, where nothing is broken (VERIFICATION section 6, I9); and clocks of servers may be slow by this. */
const LATE_MS_MAX = 1_000
const RATE_MIN = 0.9
/** The longest session is over in this, after a change of owner too. */
export const QUIET_MS = 60_000

/** @throws Violation of I9 for a session that outlives its TTL, of I8 for whatever is never over. */
export async function leave(world: World): Promise<void> {
  const { clients, schedule, log, plan } = world
  const chance = chanceOf(plan.seed, 'leaving')
  for (const [place, client] of clients.entries()) {
    if (client.machine.isDead) continue
    if (chance.isLuckyAt(GONE_RATE)) world.killClient(place)
    else void client.holdfast.close()
  }
  await passUntilExpired(world)
  const isEmpty = () =>
    [...log.judges.values()].every(
      ({ grants, waiters, delays, sessions }) => grants.size + waiters.size + delays.size + sessions.size === 0,
    )
  await schedule.run({ untilMs: schedule.nowMs + QUIET_MS, isOver: isEmpty })
  if (!isEmpty()) throw new Violation(`I8: something is still held or awaited when everybody has gone`)
}

/**
 * I9, the other half: where nothing is broken, a session that nobody renews does not last for long after its TTL. Whoever takes over gives each session
 * all of its own once more, and that comes even now: the member record of a start that is long gone, written late, is a server that is to have its share.
 */
async function passUntilExpired({ schedule, log, plan, outcomes }: World): Promise<void> {
  const sinceMs = schedule.nowMs
  const there = [...log.judges].flatMap(([instance, { sessions }]) =>
    [...sessions.values()].map(({ id, ttlMs }) => ({ instance, id, ttlMs })),
  )
  outcomes['left behind'] = there.length
  const lateMs = LATE_MS_MAX + plan.network.slowMsMax
  const taken = { count: log.counts.takeovers, atMs: sinceMs }
  for (const { instance, id, ttlMs } of there.toSorted((one, other) => one.ttlMs - other.ttlMs)) {
    const isOver = () => log.judges.get(instance)?.sessions.has(id) !== true
    const hasNews = () => log.counts.takeovers > taken.count
    for (let isLast = false; !isLast && !isOver(); ) {
      await schedule.run({ untilMs: taken.atMs + ttlMs / RATE_MIN + lateMs, isOver: () => isOver() || hasNews() })
      isLast = !hasNews()
      if (hasNews()) Object.assign(taken, { count: log.counts.takeovers, atMs: schedule.nowMs })
    }
    if (!isOver())
      throw new Violation(
        `I9: ${id}, with a TTL of ${ttlMs} ms, is there ${schedule.nowMs - sinceMs} ms after its last word`,
      )
  }
}
