/** Introduces the trail to the rooms that make it, and to the sinks that it is sent to. */
import { hash } from 'node:crypto'
import { HoldfastError } from '@holdfast/protocol/errors'
import { archiveOf, StoredAudit } from '../audit/audit.ts'
import { Delivery } from '../audit/delivery.ts'
import { auditKeysUnder } from '../audit/keys.ts'
import { FileSink } from '../audit/sinks/file.ts'
import type { Sink } from '../audit/sinks/sink.ts'
import { SyslogSink } from '../audit/sinks/syslog.ts'
import { WebhookSink } from '../audit/sinks/webhook.ts'
import type { Calendar, Clock } from '../clock.ts'
import type { SinkConfig } from '../config/audit.ts'
import type { Config } from '../config/config.ts'
import type { Engine } from '../engine/engine.ts'
import type { Command } from '../locks/model.ts'
import { registryKeysUnder } from '../registry/store.ts'
import type { OpenArchive } from '../shards/archive.ts'
import { keysUnder } from '../shards/keys.ts'
import type { OpenedShards } from '../shards/shards.ts'
import type { AuditTelemetry } from '../telemetry/audit.ts'

export type AuditingOptions = {
  engine: Engine
  clock: Clock
  calendar: Calendar
  config: Config
  telemetry: AuditTelemetry
}

/** Digits of the hash that names a sink in the store. */
const ID_DIGITS = 16

/** What waits for a sink in strict mode. Whatever keeps, gives back, ends or only looks is never refused. */
const changes: { readonly [Type in Command['type']]?: true } = {
  open_session: true,
  acquire: true,
  transfer: true,
  write_value: true,
  configure: true,
  delete_lock: true,
  freeze: true,
}

export class Auditing {
  /** For the shards; undefined: their batches go nowhere. */
  readonly archive: OpenArchive | undefined
  readonly #options: AuditingOptions
  #deliveries: Delivery[] = []

  constructor(options: AuditingOptions) {
    this.#options = options
    const { engine, clock, calendar, config, telemetry } = options
    const { retention, isStrict } = config.audit
    const own = { engine, clock, calendar, root: config.root, retention, isStrict, telemetry }
    this.archive = archiveOf(own) ?? undefined
    telemetry.sending(config.audit.sinks.map(({ name }) => name))
  }

  /** For the shards: why a command is refused now; null: it is not. */
  readonly gate = (command: Command): HoldfastError | null => {
    if (this.#deliveries.length === 0 || !changes[command.type]) return null
    const { isStrict, strictAfterMs } = this.#options.config.audit
    if (!isStrict || this.#deliveries.some(({ awayMs }) => awayMs <= strictAfterMs)) return null
    const names = this.#deliveries.map(({ name }) => name).join(', ')
    return new HoldfastError(
      'unavailable',
      `Nothing may be changed while the audit trail cannot be delivered: ${names} does not take it.`,
    )
  }

  open(shards: OpenedShards): StoredAudit {
    const { engine, clock, config, telemetry } = this.#options
    const { root } = config
    const { retention } = config.audit
    const audit = new StoredAudit({ engine, clock, root, retention }, shards.meta)
    const owned = () => shards.health().shards.map(({ shard }) => shard)
    const keys = { keys: keysUnder(root), auditKeys: auditKeysUnder(root), registryKeys: registryKeysUnder(root) }
    const { cluster } = audit.sourcesOfShard(0)
    this.#deliveries = config.audit.sinks.map(({ name, sink }) => {
      const id = hash('sha256', name, 'hex').slice(0, ID_DIGITS)
      return new Delivery({ engine, clock, ...keys, cluster, name, id, sink: sinkOf(sink, clock), owned, telemetry })
    })
    for (const delivery of this.#deliveries) delivery.start()
    return audit
  }

  close(): void {
    for (const delivery of this.#deliveries) delivery.stop()
  }
}

function sinkOf(config: SinkConfig, clock: Clock): Sink {
  switch (config.type) {
    case 'file':
      return new FileSink(config)
    case 'syslog':
      return new SyslogSink(config, clock)
    case 'webhook':
      return new WebhookSink({ ...config, clock })
  }
}
