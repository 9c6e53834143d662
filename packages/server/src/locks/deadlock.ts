/**
 * Deadlocks. The wait graph has two kinds of node: a waiter (a ticket), and a *task*, a line of work of a session that holds locks. A waiter
 * waits for the waiter just before it in each of its queues, whatever the modes, for the order is strict; and for the tasks that hold
 * what it cannot be granted beside. A task waits for all that it has asked for itself. Two things close a cycle, and the search starts
 * there: a new waiter, and a grant to a task that goes on waiting for something else. The youngest of the lowest priority in the cycle is refused.
 *
 * Of the holders of permits a waiter does not need all: any that give back enough will do, so that a cycle through one of them may be none.
 * What decides is who is *stuck*: of all that the search comes to, whoever could not be granted what it asks for though all the others went on
 * and gave back what they hold. Only among these is a cycle a deadlock.
 *
 * What ends by time alone (a wait, a session, a longest hold) is not counted on: it costs somebody what he relies on. A lock-delay is.
 * A limit that is lowered starts no search; what it may close ends with the waits.
 *
 * Tasks, not sessions: a library's one session serves many independent lines of work, of which each may wait for what another of them
 * holds, without any deadlock.
 *
 * A deadlock needs two orders. So whoever takes b while holding a, when others have taken a while holding b, is reported even
 * when nothing came of it.
 */
import { placeInQueue } from './apply.ts'
import type { Draft } from './draft.ts'
import { giveUp, pump } from './grants.ts'
import { type Lock, none } from './lock.ts'
import type { Claim, Cycle, Waiter } from './model.ts'
import { isCompatible } from './queue.ts'
import type { State } from './state.ts'

/** Waiters and holders looked at for one command: a queue of the greatest length, several times over. Beyond it, timeouts must do. */
export const SEARCH_MAX = 50_000
/** Of a circle that is spelled out: what is told of it is written to the log, and read by people. */
export const CYCLE_STEPS_MAX = 32
/** The same in bytes: of a step the names of a task, of a lock and of two who hold or wait. */
export const CYCLE_BYTES_MAX = CYCLE_STEPS_MAX * 2 * 1024
/** How many of the session's latest grants are looked at for lock order. */
const ORDER_LOOKBACK = 16
const ORDERS_MAX = 4_096

type Task = { session: string; task: string }
type Step = { waiter: Waiter; lock: string; from: Step | null }

/** Refuses waiters until none is in a cycle with the new one. Returns the cycle if the new one is the one to go. */
export function breakDeadlocks(draft: Draft, waiter: Waiter): Cycle | null {
  while (draft.state.tickets.has(waiter.ticket)) {
    // Beyond what a batch holds, too, timeouts must do.
    const steps = draft.fits(CYCLE_BYTES_MAX) ? findCycle(draft, waiter) : null
    if (!steps) return null
    const cycle = describe(steps)
    const victim = steps.map(step => step.waiter).reduce((one, other) => (goesBefore(one, other) ? one : other))
    giveUp(draft, victim, { reason: 'deadlock', cycle })
    for (const claim of victim.claims) pump(draft, claim.lock)
    if (victim === waiter) return cycle
  }
  return null
}

/** For a task that has been granted these locks: those who wait for them wait from now on for all that the task waits for. */
export function breakDeadlocksBehind(draft: Draft, holder: Task, granted: readonly { lock: string }[]): void {
  const waits = draft.state.sessions.get(holder.session)?.waits
  if (!waits || waits.length === 0) return
  if (granted.every(({ lock }) => !draft.state.locks.get(lock)?.queue.length)) return
  for (const waiter of waits) if (isOf(holder, waiter)) breakDeadlocks(draft, waiter)
}

function goesBefore(one: Waiter, other: Waiter): boolean {
  return one.priority < other.priority || (one.priority === other.priority && one.ticket > other.ticket)
}

/** The waiters of a cycle through `start`, each with the lock for which it waits for the next; null if there is none. */
function findCycle(draft: Draft, start: Waiter): Step[] | null {
  const { state } = draft
  const isAlone =
    !holdsAnything(state, start) && start.claims.every(claim => state.locks.get(claim.lock)?.queue.at(-1) === start)
  // Nobody waits for it, so nothing leads back to it: the usual case costs nothing.
  if (isAlone) return null
  const all = walk(draft, start, null)
  if (!all.cycle) return null
  keepStuck(draft, all.reached)
  return all.reached.has(start) ? walk(draft, start, all.reached).cycle : null
}

/** Goes from `start` to whom it waits for, and on from there, `among` these or anywhere. `cycle`: the first way back, if there is one. */
function walk(
  draft: Draft,
  start: Waiter,
  among: ReadonlySet<Waiter> | null,
): { reached: Set<Waiter>; cycle: Step[] | null } {
  const reached = new Set([start])
  const followed = new Set<Lock>()
  const open: Step[] = start.claims.map(claim => ({ waiter: start, lock: claim.lock, from: null }))
  let cycle: Step[] | null = null
  while (open.length > 0 && draft.searched < SEARCH_MAX) {
    const step = open.pop()!
    for (const waiter of follow(draft, step, followed)) {
      if (waiter === start) cycle ??= path(step)
      if (reached.has(waiter) || (among && !among.has(waiter))) continue
      reached.add(waiter)
      for (const claim of waiter.claims) open.push({ waiter, lock: claim.lock, from: step })
    }
  }
  return { reached, cycle }
}

/** Whom the step's waiter waits for on the step's lock. The tasks that hold it are followed once: they are the same for all who wait for it. */
function follow(draft: Draft, step: Step, followed: Set<Lock>): Waiter[] {
  const lock = draft.state.locks.get(step.lock)
  const claim = step.waiter.claims.find(other => other.lock === step.lock)
  if (!lock || !claim) return none
  const before = waiterBefore(lock, step.waiter)
  const next = before ? [before] : []
  draft.searched++
  if (followed.has(lock)) return next
  draft.searched += lock.grants.length
  if (isCompatible(lock, claim, { grants: lock.grants, delays: none })) return next
  // Beside what its own task holds there may be permits enough: then it waits for the others.
  const own = lock.grants.filter(grant => isOf(grant, step.waiter))
  const isForOthers = own.length > 0 && isCompatible(lock, claim, { grants: own, delays: none })
  if (!isForOthers) followed.add(lock)
  for (const holder of holdersOf(lock))
    for (const wait of waitsOf(draft, holder)) if (!isForOthers || wait !== step.waiter) next.push(wait)
  return next
}

/** Each task once, however many permits it has. */
function holdersOf({ grants }: Lock): Iterable<Task> {
  if (grants.length <= 1) return grants
  const tasks = new Map<string, Task>()
  for (const grant of grants) tasks.set(`${grant.session}\n${grant.task}`, grant)
  return tasks.values()
}

/** Takes away all who can be granted what they ask for once others of those who are taken away have gone on, until nobody more can. */
function keepStuck(draft: Draft, waiters: Set<Waiter>): void {
  for (let before = -1; before !== waiters.size; ) {
    before = waiters.size
    // From the far end, where somebody waits for nobody: mostly once is enough.
    for (const waiter of [...waiters].reverse()) {
      // Not all has been looked at: nobody is told what is not known.
      if (draft.searched >= SEARCH_MAX) return waiters.clear()
      if (!waiter.claims.some(claim => isStuck(draft, { waiter, claim }, waiters))) waiters.delete(waiter)
    }
  }
}

type Asked = { waiter: Waiter; claim: Claim }

/** Whether what those who are stuck hold, or their place in line, keeps the waiter from this lock for ever. */
function isStuck(draft: Draft, { waiter, claim }: Asked, stuck: ReadonlySet<Waiter>): boolean {
  const lock = draft.state.locks.get(claim.lock)
  if (!lock) return false
  const before = waiterBefore(lock, waiter)
  draft.searched++
  if (before && stuck.has(before)) return true
  draft.searched += lock.grants.length
  const stay = new Set<string>()
  for (const holder of holdersOf(lock))
    if (waitsOf(draft, holder).some(wait => stuck.has(wait))) stay.add(`${holder.session}\n${holder.task}`)
  const grants = lock.grants.filter(({ session, task }) => stay.has(`${session}\n${task}`))
  return !isCompatible(lock, claim, { grants, delays: none })
}

function waiterBefore(lock: Lock, waiter: Waiter): Waiter | undefined {
  return lock.queue[placeInQueue(lock.queue, waiter) - 1]
}

/** All that the task waits for. */
function waitsOf(draft: Draft, holder: Task): Waiter[] {
  const waits = draft.state.sessions.get(holder.session)?.waits ?? none
  draft.searched += waits.length
  return waits.length === 0 ? none : waits.filter(wait => isOf(holder, wait))
}

function isOf(one: Task, other: Task): boolean {
  return one.session === other.session && one.task === other.task
}

function holdsAnything(state: State, waiter: Waiter): boolean {
  const grants = state.sessions.get(waiter.session)?.grants ?? []
  return grants.some(grant => isOf(grant, waiter))
}

function path(last: Step): Step[] {
  const steps: Step[] = []
  for (let step: Step | null = last; step; step = step.from) steps.push(step)
  return steps.reverse()
}

/** Of a long one, its two ends. */
function describe(steps: Step[]): Cycle {
  const all = steps.map(({ waiter, lock }, index) => {
    const next = steps[(index + 1) % steps.length]!.waiter
    return { waiter: waiter.holder, task: waiter.task, lock, holder: next.holder }
  })
  if (all.length <= CYCLE_STEPS_MAX) return all
  return [...all.slice(0, CYCLE_STEPS_MAX / 2), ...all.slice(-CYCLE_STEPS_MAX / 2)]
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
