/** What clients of the library do all day: cycles of their own, convoys, long holds, and lines whose order is known. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Holdfast, Lock } from '@holdfast/client'
import type { Figures } from './figures.ts'
import type { Judge } from './judge.ts'

export type Work = { judge: Judge; figures: Figures; isOver(): boolean }

/** After an operation that failed. */
const AGAIN_MS = 50
const VALIDATE_MS = 500

/** Acquires and gives back the same lock, again and again. Several on one lock are a convoy. */
export async function cycle(
  work: Work,
  client: Holdfast,
  { name, holdMs, pauseMs }: { name: string; holdMs: number; pauseMs: number },
): Promise<void> {
  work.figures.expect(name)
  while (!work.isOver()) {
    const acquired = await attempt(work, name, 'acquire', () => client.acquire(name))
    if (acquired) {
      const lock = acquired.result
      work.judge.granted(lock)
      if (holdMs > 0) await sleep(holdMs)
      work.judge.act(lock)
      await giveBack(work, lock)
    } else await sleep(AGAIN_MS)
    if (pauseMs > 0) await sleep(pauseMs)
  }
}

/** Holds one lock all the time, renewed by the library alone, and asks the service now and then whether it agrees. */
export async function hold(work: Work, client: Holdfast, name: string): Promise<void> {
  const lock = await client.acquire(name)
  work.judge.granted(lock)
  work.figures.expect(name)
  while (!work.isOver()) {
    if (!lock.isHeld) work.judge.violated(`${name}: the library no longer believes in ${lock.token}`)
    work.judge.act(lock)
    await attempt(work, name, 'validate', () => lock.validate())
    await sleep(VALIDATE_MS)
  }
  const { token } = lock
  await lock.release()
  work.judge.released.add(token)
}

/** A line that stands while something happens, and whose order is known because each joined it when the one before stood in it. */
export async function line(
  work: Work,
  clients: readonly Holdfast[],
  name: string,
): Promise<{ serve(): Promise<void> }> {
  const [holder, ...waiters] = clients
  if (!holder) throw new Error('a line needs a holder')
  const held = await holder.acquire(name)
  work.judge.granted(held)
  const served: number[] = []
  const waits: Promise<void>[] = []
  for (const [place, client] of waiters.entries()) {
    const { promise: inLine, resolve } = Promise.withResolvers<void>()
    waits.push(
      client.acquire(name, { onQueued: () => resolve() }).then(async lock => {
        work.judge.granted(lock)
        served.push(place)
        await giveBack(work, lock)
      }),
    )
    await inLine
  }
  return {
    async serve() {
      if (served.length > 0) work.judge.violated(`${name}: place ${served[0]} was served while the lock was held`)
      await giveBack(work, held)
      await Promise.all(waits)
      const isInOrder = served.every((place, index) => place === index)
      if (!isInOrder) work.judge.violated(`${name}: the line was served as ${served.join(' ')}`)
    },
  }
}

async function giveBack(work: Work, lock: Lock): Promise<void> {
  const { name, token } = lock
  if (await attempt(work, name, 'release', () => lock.release())) work.judge.released.add(token)
}

/** null: it has failed. */
async function attempt<Result>(
  { judge, figures }: Work,
  key: string,
  operation: string,
  act: () => Promise<Result>,
): Promise<{ result: Result } | null> {
  const beganMs = performance.now()
  try {
    const result = await act()
    figures.succeeded(key, beganMs)
    return { result }
  } catch (error) {
    judge.failed(key, operation, error)
    return null
  }
}
