/** One client for each instance that watches all of it, from the beginning to the end of a run. */
import { shardOf } from '../../packages/server/src/shards/router.ts'
import type { Seen } from '../checker/watching.ts'
import { chanceOf } from './chance.ts'
import { Client } from './clients.ts'
import type { World } from './world.ts'

export class Watchers {
  readonly #world: World
  readonly #watchers: { instance: string; client: Client; seen: Seen[] }[] = []

  constructor(world: World) {
    this.#world = world
  }

  async start(instance: string, place: number): Promise<void> {
    const { schedule, network, servers, plan, freezes } = this.#world
    const name = `watcher-${place}.1`
    const chance = chanceOf(plan.seed, name)
    const opened = () => undefined
    const client = new Client({
      ...{ name, instance, ttlMs: 10_000, rate: 1 },
      ...{ schedule, network, servers, chance, freezes, opened },
    })
    const seen: Seen[] = []
    this.#watchers.push({ instance, client, seen })
    let lastMs = schedule.nowMs
    // Where nobody decides for ten seconds it does not begin.
    while (seen.length === 0) {
      try {
        for await (const item of client.holdfast.watch()) {
          const keptFrom = this.#keptFrom(instance, lastMs)
          seen.push(item.type === 'reset' ? { reset: item.cursor, keptFrom } : item)
          lastMs = schedule.nowMs
        }
      } catch (error) {
        this.#world.count(`watch ended: ${error instanceof Error ? error.message : String(error)}`)
      }
      await client.sleep(100)
    }
  }

  /** When nothing is under way. Returns how many events were compared. @throws Violation */
  compare(): number {
    let compared = 0
    for (const { instance, seen } of this.#watchers)
      compared += this.#world.events.compare(instance, seen, { isAtRest: true })
    return compared
  }

  /** They are gone, and say nothing. */
  leave(): void {
    for (const { client } of this.#watchers) client.machine.kill()
  }

  /** A server that had been frozen may have known nothing of what the watcher had read: it may be reset, wherever the log begins. */
  #keptFrom(instance: string, lastMs: number): number {
    const { schedule, freezes, log, plan } = this.#world
    if (freezes.isDoubtful({ sentMs: lastMs, heardMs: schedule.nowMs })) return Number.POSITIVE_INFINITY
    return log.keptFrom.get(shardOf(instance, plan.shards)) ?? 0
  }
}
