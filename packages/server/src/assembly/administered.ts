/** Whom this server serves and on what terms: the registry, and the rooms that only read it. */
import { readFile } from 'node:fs/promises'

import { ensureServiceInstance } from '../administration/instances.ts'
import { auditKeysUnder } from '../audit/keys.ts'
import { LogReader } from '../audit/reading.ts'
import type { Calendar, Clock } from '../clock.ts'
import type { Config } from '../config/config.ts'
import type { Engine } from '../engine/engine.ts'
import { Instances, offerDefaultPlans } from '../instances/instances.ts'
import { submitTo } from '../instances/metering-service.ts'
import type { Submit } from '../instances/submission.ts'
import { type OpenedRegistry, openRegistry } from '../registry/registry.ts'
import { keysUnder } from '../shards/keys.ts'
import type { Logged } from '../shards/port.ts'
import type { OpenedShards } from '../shards/shards.ts'
import type { TermsOf } from '../shards/terms.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { StoredCalendar } from './calendar.ts'

export type AdministeredOptions = {
  engine: Engine
  clock: Clock
  config: Config
  telemetry: Telemetry
  fatal(error: Error): void
}

export class Administered {
  readonly #options: AdministeredOptions
  readonly #calendar: StoredCalendar
  #registry: OpenedRegistry | null = null
  #instances: Instances | null = null

  constructor(options: AdministeredOptions) {
    this.#options = options
    const { engine, clock, config, telemetry } = options
    const alarm = (what: string, error: unknown) => telemetry.shards.alarm({ what, error })
    this.#calendar = new StoredCalendar({ engine, clock, root: config.root, alarm })
  }

  /** By which whatever goes with time goes. Until `open` nothing does. */
  get calendar(): Calendar {
    return this.#calendar
  }

  /** For the shards, which are opened first: until `open` nobody can ask them anything. */
  readonly termsOf: TermsOf = instance => this.#instances?.termsOf(instance) ?? null
  /** For the shards. */
  readonly logged = (batch: Logged): void => this.#instances?.logged(batch)

  /** Reads the registry, when the store is known to be there. */
  async open(shards: OpenedShards): Promise<{ registry: OpenedRegistry; instances: Instances }> {
    const { engine, clock, config, telemetry, fatal } = this.#options
    const { root } = config
    const alarm = (what: string, error: unknown) => telemetry.warned(what, { err: error })
    const registry = await openRegistry({ engine, clock, root, server: shards.server, alarm, fatal })
    this.#registry = registry
    await this.#calendar.start()
    registry.onChange(puts => {
      for (const { kind, id, value } of puts) if (kind === 'instance' && value === null) telemetry.tenantGone(id)
    })
    await offerDefaultPlans(registry)
    await ensureServiceInstance({ registry, clock, serviceName: config.serviceName, region: config.location })
    const keys = { keys: keysUnder(root), auditKeys: auditKeysUnder(root) }
    const instances = new Instances({
      engine,
      clock,
      calendar: this.#calendar,
      root,
      registry,
      serviceName: config.serviceName,
      read: (shard, from) => new LogReader({ engine, ...keys, shard }).forward(from),
      alarm,
      export: this.#exportOf(),
    })
    this.#instances = instances
    instances.start({ server: shards.server, owned: () => shards.health().shards })
    return { registry, instances }
  }

  #exportOf(): { submit: Submit } | null {
    const { clock, config } = this.#options
    if (!config.metering) return null
    const { url, tokenFile } = config.metering
    const token = async () => (await readFile(tokenFile, 'utf8')).trim()
    return { submit: submitTo({ url, resourceId: config.serviceName, token, clock }) }
  }

  /** When nothing is decided here any more, and before the store is closed. */
  async close(): Promise<void> {
    this.#calendar.stop()
    await this.#instances?.close()
    await this.#registry?.close()
  }
}
