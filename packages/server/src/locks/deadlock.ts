/**
 * Deadlocks. The wait graph has two kinds of node: a waiter (a ticket), and a *task*, a line of work of a session that holds locks. A waiter
 * waits for the waiter just before it in each of its queues, whatever the modes, for the order is strict; and for the tasks that hold
 * what it cannot be granted beside. A task waits for all that it has asked for itself. Only a new waiter can close a cycle, so the search
 * starts there, when it is queued; the youngest of the lowest priority in the cycle is refused.
 *
 * Tasks, not sessions: a library's one session serves many independent lines of work, of which each may wait for what another of them
 * holds, without any deadlock.
 *
 * A deadlock needs two orders. So whoever takes b while holding a, when others have taken a while holding b, is reported even
 * when nothing came of it.
 */
import type { Draft } from './draft.ts'
import { giveUp, pump } from './grants.ts'
import type { Claim, Cycle, Grant, Waiter } from './model.ts'
import { isCompatible } from './queue.ts'
import type { State } from './state.ts'

/** Nodes visited in one search: a queue of the greatest length, several times over. Beyond it, timeouts must do. */
const SEARCH_MAX = 50_000
/** How many of the session's latest grants are looked at for lock order. */
const ORDER_LOOKBACK = 16
const ORDERS_MAX = 4_096

type Step = { waiter: Waiter; lock: string; from: Step | null }

/** Refuses waiters until none is in a cycle with the new one. Returns the cycle if the new one is the one to go. */
export function breakDeadlocks(draft: Draft, waiter: Waiter): Cycle | null {
  while (draft.state.tickets.has(waiter.ticket)) {
    const steps = findCycle(draft.state, waiter)
    if (!steps) return null
    const cycle = describe(steps)
    const victim = steps.map(step => step.waiter).reduce((one, other) => (goesBefore(one, other) ? one : other))
    giveUp(draft, victim, { reason: 'deadlock', cycle })
    for (const claim of victim.claims) pump(draft, claim.lock)
    if (victim === waiter) return cycle
  }
  return null
}

function goesBefore(one: Waiter, other: Waiter): boolean {
  return one.priority < other.priority || (one.priority === other.priority && one.ticket > other.ticket)
}

/** The waiters of a cycle through `start`, each with the lock for which it waits for the next; null if there is none. */
function findCycle(state: State, start: Waiter): Step[] | null {
  const isAlone =
    !holdsAnything(state, start) && start.claims.every(claim => state.locks.get(claim.lock)?.queue.at(-1) === start)
  // Nobody waits for it, so nothing leads back to it: the usual case costs nothing.
  if (isAlone) return null
  const seen = new Set<number>([start.ticket])
  const open: Step[] = start.claims.map(claim => ({ waiter: start, lock: claim.lock, from: null }))
  while (open.length > 0 && seen.size < SEARCH_MAX) {
    const step = open.pop()!
    const { next, isBack } = follow(state, step, start)
    if (isBack) return path(step)
    for (const waiter of next) {
      if (waiter === start) return path(step)
      if (seen.has(waiter.ticket)) continue
      seen.add(waiter.ticket)
      for (const claim of waiter.claims) open.push({ waiter, lock: claim.lock, from: step })
    }
  }
  return null
}

/** Whom the step's waiter waits for on the step's lock. */
function follow(state: State, step: Step, start: Waiter): { next: Waiter[]; isBack: boolean } {
  const lock = state.locks.get(step.lock)
  const claim = step.waiter.claims.find(other => other.lock === step.lock)
  if (!lock || !claim) return { next: [], isBack: false }
  const next: Waiter[] = []
  const before = lock.queue[lock.queue.indexOf(step.waiter) - 1]
  if (before) next.push(before)
  if (isCompatible(lock, claim)) return { next, isBack: false }
  for (const grant of lock.grants) {
    if (!isInTheWay(grant, claim)) continue
    if (isOf(grant, start)) return { next, isBack: true }
    for (const wait of state.sessions.get(grant.session)?.waits ?? []) if (isOf(grant, wait)) next.push(wait)
  }
  return { next, isBack: false }
}

function isInTheWay(grant: Grant, claim: Claim): boolean {
  return claim.mode !== 'shared' || grant.mode !== 'shared'
}

function isOf(grant: Grant, waiter: Waiter): boolean {
  return grant.session === waiter.session && grant.task === waiter.task
}

function holdsAnything(state: State, waiter: Waiter): boolean {
  const grants = state.sessions.get(waiter.session)?.grants ?? []
  return grants.some(grant => isOf(grant, waiter))
}

function path(last: Step): Step[] {
  const steps: Step[] = []
  for (let step: Step | null = last; step; step = step.from) steps.unshift(step)
  return steps
}

function describe(steps: Step[]): Cycle {
  return steps.map(({ waiter, lock }, index) => {
    const next = steps[(index + 1) % steps.length]!.waiter
    return { waiter: waiter.holder, task: waiter.task, lock, holder: next.holder }
  })
}

/** Remembers in which order the task takes locks, and reports an order that contradicts an earlier one. */
export function noteOrder(draft: Draft, asked: { session: string; task: string; claims: readonly Claim[] }): void {
  const grants = draft.state.sessions.get(asked.session)?.grants
  if (!grants || grants.length === 0) return
  const own = grants.slice(-ORDER_LOOKBACK).filter(grant => grant.task === asked.task)
  // Who holds so many at once is not nesting them.
  if (own.length === ORDER_LOOKBACK) return
  for (const grant of own) {
    for (const claim of asked.claims) noteOne(draft, { first: grant.lock, second: claim.lock, session: asked.session })
  }
}

function noteOne(draft: Draft, order: { first: string; second: string; session: string }): void {
  const { orders } = draft.state
  if (order.first === order.second) return
  // A name holds no control characters.
  const key = `${order.first}\n${order.second}`
  const inverse = `${order.second}\n${order.first}`
  if (orders.young.has(key)) return
  if (orders.young.has(inverse) || orders.old.has(inverse)) draft.report({ type: 'lock_order', ...order })
  orders.young.add(key)
  if (orders.young.size < ORDERS_MAX) return
  orders.old = orders.young
  orders.young = new Set()
}
