/** The room as a whole, for the one file that introduces rooms to each other. */
import type { Calendar, Clock } from '../clock.ts'
import { answering } from '../engine/answering.ts'
import type { Engine } from '../engine/engine.ts'
import type { Registry } from '../registry/port.ts'
import type { Logged } from '../shards/port.ts'
import type { TermsOf } from '../shards/terms.ts'
import { type ExportConfig, Exporter } from './exporter.ts'
import { Meter, type MeterOptions } from './meter.ts'
import { defaultPlans } from './plans.ts'
import { registryTerms } from './terms.ts'
import { type UsageOf, usageOf } from './usage.ts'

export type InstancesOptions = {
  engine: Engine
  clock: Clock
  calendar: Calendar
  root: string
  registry: Registry
  /** As the catalogue calls the service. */
  serviceName: string
  read: MeterOptions['read']
  alarm: MeterOptions['alarm']
  /** Where usage is submitted; null: nowhere. */
  export: ExportConfig | null
}

/** Of the shards that are opened with `termsOf` and `logged`. */
export type Serving = { server: string; owned: MeterOptions['owned'] }

export class Instances {
  readonly #options: InstancesOptions
  #meter: Meter | null = null
  #exporter: Exporter | null = null
  /** For the shards. */
  readonly termsOf: TermsOf
  /** For the doors. */
  readonly usage: UsageOf

  constructor(options: InstancesOptions) {
    this.#options = options
    this.termsOf = registryTerms(options.registry)
    const engine = answering(options.engine)
    this.usage = (instance, asked) => usageOf({ ...options, engine }, instance, asked)
  }

  /** For the shards. What comes before `start` is read from the log again. */
  readonly logged = (batch: Logged): void => this.#meter?.logged(batch)

  /** Counts, and submits; call it when the shards are open. */
  start({ server, owned }: Serving): void {
    const { export: config } = this.#options
    this.#meter = new Meter({ ...this.#options, server, owned })
    this.#meter.start()
    if (!config) return
    this.#exporter = new Exporter({
      ...this.#options,
      config,
      // One server at a time; that it is one and the same is not relied upon.
      isTurn: () => owned().some(({ shard }) => shard === 0),
    })
    this.#exporter.start()
  }

  /** When nothing is decided here any more, and before the store is closed. */
  async close(): Promise<void> {
    this.#exporter?.close()
    await this.#meter?.close()
  }
}

/** Makes the plans that a new service begins with. Those that are there, changed or not, stay as they are. */
export async function offerDefaultPlans(registry: Registry): Promise<void> {
  const missing = () => defaultPlans.filter(({ id }) => registry.get('plan', id) === null)
  if (missing().length === 0) return
  const deed = {
    by: 'service',
    from: '',
    action: 'plan.write',
    instance: null,
    target: 'plan/*',
    outcome: 'success',
    status: 200,
    reason: 'the plans of a new service',
    trace: '',
  } as const
  await registry.change(deed, () => missing().map(value => ({ kind: 'plan', id: value.id, value })))
}
