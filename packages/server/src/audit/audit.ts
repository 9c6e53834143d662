/** The trail of what happened, for those who ask: archived, searched, checked. One for a server; each server answers for all shards. */
import type { Calendar, Clock } from '../clock.ts'
import { answering } from '../engine/answering.ts'
import type { Engine, EngineReads } from '../engine/engine.ts'
import type { InstanceRecord } from '../registry/records.ts'
import { registryKeysUnder } from '../registry/store.ts'
import type { OpenArchive } from '../shards/archive.ts'
import { type Keys, keysUnder } from '../shards/keys.ts'
import { shardOf } from '../shards/router.ts'
import { type ArchiveTelemetry, openArchive, type Retention } from './archive.ts'
import { type ChainHead, type Checked, checkChain } from './chain.ts'
import { instancesInTrail } from './gone.ts'
import { newestLinkOf, newestOf } from './heads.ts'
import { type HeldAt, heldAt } from './held.ts'
import { type HistoryQuery, type PastEvents, pastEvents, placeOf } from './history.ts'
import { type AuditKeys, auditKeysUnder } from './keys.ts'
import { beginning, type Progress } from './progress.ts'
import { type AuditPage, type AuditQuery, pageOfTrail } from './query.ts'
import { LogReader } from './reading.ts'

export type AuditOptions = {
  engine: Engine
  clock: Clock
  calendar: Calendar
  /** What the keys of the store begin with. */
  root: string
  /** Of the whole service; null: nothing is archived. */
  retention: Retention | null
  isStrict: boolean
  telemetry: ArchiveTelemetry
}

/** What is known once the store has been opened. */
export type Known = { clusterId: string; shards: number }

/** Hexadecimal digits of the cluster's id in the ids of events. */
const CLUSTER_DIGITS = 8

export interface Audit {
  /** A page of the trail; null: the cursor is not one of ours, or of the other direction. */
  page(query: AuditQuery): Promise<AuditPage | null>
  /** Past events of one lock, newest first. */
  history(query: HistoryQuery): Promise<PastEvents>
  /** Whether it is the id of an event of this cluster, so that a page can begin there. */
  isEventId(id: string): boolean
  /** What the registry last said of instances that it may have forgotten since, as far back as one look reaches. By their ids. */
  instancesThatWere(ids: readonly string[]): Promise<Map<string, InstanceRecord>>
  heldAt(question: { instance: string; lock: string; atMs: number }): Promise<HeldAt>
  /** A part of the check of all chains. */
  check(from?: Progress, known?: readonly ChainHead[]): Promise<Checked>
  /** The newest of each chain, to be kept elsewhere. */
  heads(): Promise<ChainHead[]>
}

/** For the shards: where their batches go. Each has its part of what is kept. */
export function archiveOf(options: AuditOptions): OpenArchive | null {
  const { retention, root } = options
  if (!retention) return null
  const keys = { keys: keysUnder(root), auditKeys: auditKeysUnder(root) }
  return shard => {
    const own = { ageMs: retention.ageMs, bytesMax: Math.floor(retention.bytesMax / shard.shards) }
    return openArchive({ ...options, ...keys, retention: own }, shard)
  }
}

export type StoredAuditOptions = Pick<AuditOptions, 'clock' | 'root'> & { engine: EngineReads } & Partial<
    Pick<AuditOptions, 'retention'>
  >

export class StoredAudit implements Audit {
  readonly #engine: EngineReads
  readonly #clock: Clock
  readonly #keys: Keys
  readonly #auditKeys: AuditKeys
  readonly #registryKeys: ReturnType<typeof registryKeysUnder>
  readonly #known: Known
  readonly #isArchived: boolean

  constructor({ engine, clock, root, retention = null }: StoredAuditOptions, known: Known) {
    this.#engine = answering(engine)
    this.#clock = clock
    this.#keys = keysUnder(root)
    this.#auditKeys = auditKeysUnder(root)
    this.#registryKeys = registryKeysUnder(root)
    this.#known = known
    this.#isArchived = retention !== null
  }

  async page(query: AuditQuery): Promise<AuditPage | null> {
    return pageOfTrail({ ...this.sourcesOf(query.instance), newestLink: await this.newestLink() }, query)
  }

  history(query: HistoryQuery): Promise<PastEvents> {
    return pastEvents(this.sourcesOf(query.instance), query)
  }

  isEventId(id: string): boolean {
    return placeOf(id, this.#known.clusterId.slice(0, CLUSTER_DIGITS)) !== null
  }

  instancesThatWere(ids: readonly string[]): Promise<Map<string, InstanceRecord>> {
    return instancesInTrail({ engine: this.#engine, clock: this.#clock, keys: this.#registryKeys }, ids)
  }

  heldAt(question: { instance: string; lock: string; atMs: number }): Promise<HeldAt> {
    return heldAt(this.sourcesOf(question.instance), question)
  }

  check(from: Progress = beginning, known: readonly ChainHead[] = []): Promise<Checked> {
    return checkChain(this.#chains, from, known)
  }

  async heads(): Promise<ChainHead[]> {
    return newestOf(this.#chains)
  }

  /** How an instance's part of the trail is read. */
  sourcesOf(instance: string) {
    return this.sourcesOfShard(shardOf(instance, this.#known.shards))
  }

  sourcesOfShard(shard: number) {
    const [engine, clock, registryKeys] = [this.#engine, this.#clock, this.#registryKeys]
    const reader = new LogReader({ engine, keys: this.#keys, auditKeys: this.#auditKeys, shard })
    return { engine, clock, registryKeys, reader, cluster: this.#known.clusterId.slice(0, CLUSTER_DIGITS) }
  }

  /** Of the administrative trail. */
  async newestLink(): Promise<number> {
    return newestLinkOf(this.#engine, this.#registryKeys)
  }

  get #chains() {
    const [engine, clock, keys, auditKeys] = [this.#engine, this.#clock, this.#keys, this.#auditKeys]
    const [shards, isArchived] = [this.#known.shards, this.#isArchived]
    return { engine, clock, keys, auditKeys, registryKeys: this.#registryKeys, shards, isArchived }
  }
}
