/** Lock cycles through the library, as programs make them, while something is done to the service. */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Holdfast } from '@holdfast/client'
import { rootKey } from './server.ts'

export type Load = {
  /** Ends it. Everything that failed, and how long the slowest cycle took. */
  stop(): Promise<{ cycles: number; failures: unknown[]; slowestMs: number; overlaps: string[] }>
  cycles(): number
}

export type LoadOptions = { urls: readonly string[]; workers?: number; locks?: number }

/** Each worker takes one of a few locks, holds it for a moment, and gives it back, for ever. */
export function startLoad({ urls, workers = 8, locks = 4 }: LoadOptions): Load {
  let isOver = false
  let cycles = 0
  let slowestMs = 0
  const failures: unknown[] = []
  const overlaps: string[] = []
  const holders = new Map<string, number>()
  const tokens = new Map<string, number>()
  const work = async (worker: number, holdfast: Holdfast) => {
    for (let round = worker; !isOver; round++) {
      const name = `load-${round % locks}`
      const beganMs = performance.now()
      try {
        const lock = await holdfast.acquire(name)
        if (holders.has(name)) overlaps.push(`${name} is held twice`)
        if (lock.token <= (tokens.get(name) ?? 0)) overlaps.push(`token ${lock.token} of ${name} is not larger`)
        tokens.set(name, lock.token)
        holders.set(name, worker)
        await sleep(2)
        holders.delete(name)
        await lock.release()
        cycles++
        slowestMs = Math.max(slowestMs, performance.now() - beganMs)
      } catch (error) {
        holders.delete(name)
        failures.push(error)
      }
    }
  }
  const clients = Array.from({ length: workers }, () => connect({ url: urls, apiKey: rootKey }))
  const all = clients.map((holdfast, worker) => work(worker, holdfast))
  return {
    cycles: () => cycles,
    async stop() {
      isOver = true
      await Promise.all(all)
      await Promise.all(clients.map(holdfast => holdfast.close()))
      return { cycles, failures, slowestMs, overlaps }
    },
  }
}
