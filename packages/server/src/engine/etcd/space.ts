/**
 * The room that a store takes, and keeping it small.
 *
 * etcd keeps what was overwritten or deleted until it is told to forget it (compaction), and then the free pages until it is told to give
 * them back (defragmentation), and its quota counts the pages, not what is in them. So both are done here, by whoever calls `tend`: one
 * server at a time. A member answers nothing while it is defragmented, so there is one at a time, never while another is missing, the
 * leader last and only after it has handed its leadership on, and a while lies between two.
 */
import type { Clock } from '../../clock.ts'
import type { EngineSize } from '../engine.ts'
import type { Status } from './calls.ts'
import type { EtcdClient } from './client.ts'
import { EtcdError } from './errors.ts'
import { alarmType } from './messages.ts'

export type SpaceSettings = {
  /** What was superseded can be listed for this long: a listing of many pages has to end within it. */
  retainMs: number
  /** Compaction when this much has been written since the last one, … */
  compactBytes: number
  /** … or this many commits. */
  compactRevisions: number
  /** Between two defragmentations, as members catch up in it. */
  betweenMs: number
  /** The same while so little room is left that acquires are refused, or soon will be. */
  betweenFullMs: number
  /** A full store takes no writes, so nothing shows whether a defragmentation came too early, before the compaction was through: it is tried again. */
  againMs: number
}

export const spaceSettings: SpaceSettings = {
  retainMs: 10_000,
  compactBytes: 32 * 1024 * 1024,
  compactRevisions: 5_000,
  betweenMs: 60_000,
  betweenFullMs: 2_000,
  againMs: 20_000,
}

/** Of the quota; below it free pages are left for what comes. */
const DEFRAGMENT_SHARE = 0.7
/** Of the quota: so small a one that this is less than `compactBytes` is compacted sooner. */
const COMPACT_SHARE = 1 / 16
/** Less would come free than is in use: not worth the standstill. */
const FREE_SHARE = 0.5
/** Of the quota; above it acquires may be refused (shards/storage.ts), and each member has to come below it before they are taken again. */
const URGENT_SHARE = 0.8
/** A member that is so many commits behind the others is catching up, and a second one is not stopped meanwhile. */
const LAG_MAX = 1_000n
/** An alarm is ended only when there is room again: the share at which acquires are still refused, or it would be raised anew at once. */
const DISARM_SHARE = 0.85

type Looked = { url: string; status: Status }

type Mark = { revision: number; atMs: number }

export type SpaceOptions = {
  client: EtcdClient
  clock: Clock
  /** Until the store tells or shows another. */
  quotaBytes: number
  settings: SpaceSettings
  onTrouble?: ((trouble: { what: string; error: unknown }) => void) | undefined
}

export class Space {
  readonly #client: EtcdClient
  readonly #clock: Clock
  readonly #quotaBytes: number
  readonly #settings: SpaceSettings
  readonly #onTrouble: (trouble: { what: string; error: unknown }) => void
  /** What the store has shown to have less than it was said to have; null: nothing has. */
  #shownBytes: number | null = null
  /** At the look before. */
  #before = { usedBytes: Number.POSITIVE_INFINITY, isAlarmed: true }
  #marks: Mark[] = []
  #compacted = { revision: 0, liveBytes: 0 }
  #defragmentedMs = Number.NEGATIVE_INFINITY
  /** By member: what had been compacted when it was defragmented last, and when that was. */
  readonly #defragmentedAt = new Map<string, Mark>()

  constructor(options: SpaceOptions) {
    this.#client = options.client
    this.#clock = options.clock
    this.#quotaBytes = options.quotaBytes
    this.#settings = options.settings
    this.#onTrouble = options.onTrouble ?? (() => undefined)
  }

  /** Of the fullest member. @throws EtcdError when none answers. */
  async size(): Promise<EngineSize> {
    const { members, isAlarmed } = await this.#look()
    const quotaBytes = this.#quotaOf(members)
    const usedBytes = Math.max(...members.map(({ status }) => status.dbSize))
    const liveBytes = Math.max(...members.map(({ status }) => status.dbSizeInUse))
    // While the alarm is up every write is refused, however small the file has become.
    return { usedBytes: isAlarmed ? Math.max(usedBytes, quotaBytes) : usedBytes, liveBytes, quotaBytes }
  }

  /** One look, and what it shows to be due. @throws EtcdError, after which the next call simply tries again. */
  async tend(): Promise<void> {
    const { members, failures, isAlarmed } = await this.#look()
    await this.#compact(members, isAlarmed)
    await this.#defragment(members, isAlarmed, failures.length > 0)
    if (isAlarmed) await this.#disarm()
  }

  /** @throws EtcdError when no member answers. */
  async #look(): Promise<{ members: Looked[]; failures: unknown[]; isAlarmed: boolean }> {
    const { members, failures } = await look(this.#client)
    if (members.length === 0) throw failures[0]
    const isAlarmed = await isFull(this.#client)
    this.#learn(members, isAlarmed)
    return { members, failures, isAlarmed }
  }

  /** Before etcd 3.6 nobody is told the quota. Where it is smaller than what was configured here, the alarm shows how large it is. */
  #learn(members: Looked[], isAlarmed: boolean): void {
    const { usedBytes: beforeBytes, isAlarmed: wasAlarmed } = this.#before
    const usedBytes = Math.max(...members.map(({ status }) => status.dbSize))
    this.#before = { usedBytes, isAlarmed }
    const quotaBytes = this.#quotaOf(members)
    if (!isAlarmed && usedBytes > quotaBytes) this.#shownBytes = null
    // A file that has become smaller was defragmented since the alarm.
    if (!isAlarmed || wasAlarmed || usedBytes < beforeBytes || usedBytes >= DISARM_SHARE * quotaBytes) return
    this.#shownBytes = usedBytes
    const what = `etcd is full with ${usedBytes} bytes, not with ${quotaBytes}: give servers the quota that it has (--etcd-quota-bytes), or it a larger one`
    this.#onTrouble({ what, error: null })
  }

  #quotaOf(members: Looked[]): number {
    const told = members.map(({ status }) => status.dbSizeQuota).filter(bytes => bytes > 0)
    return told.length > 0 ? Math.min(...told) : (this.#shownBytes ?? this.#quotaBytes)
  }

  async #compact(members: Looked[], isAlarmed: boolean): Promise<void> {
    const { retainMs, compactBytes, compactRevisions } = this.#settings
    const nowMs = this.#clock.hrtimeMs()
    const liveBytes = Math.max(...members.map(({ status }) => status.dbSizeInUse))
    // Of the member that is the least far: what it has not reached cannot be compacted there.
    const revision = Math.min(...members.map(({ status }) => status.header?.revision ?? 0))
    this.#marks.push({ revision, atMs: nowMs })
    const old = this.#marks.filter(mark => mark.atMs <= nowMs - retainMs)
    const until = old.at(-1)
    if (!until || until.revision <= this.#compacted.revision) return
    const quota = this.#quotaOf(members)
    const isDue =
      isAlarmed ||
      // What was written last time was too new to be forgotten, and may be what fills it: nothing else would show that.
      members.some(({ status }) => status.dbSize > DEFRAGMENT_SHARE * quota) ||
      liveBytes - this.#compacted.liveBytes > Math.min(compactBytes, COMPACT_SHARE * quota) ||
      until.revision - this.#compacted.revision > compactRevisions
    if (!isDue) return
    this.#marks = this.#marks.slice(old.length)
    try {
      await this.#client.compact(until.revision)
    } catch (error) {
      // Somebody else has compacted further: just as well.
      if (!(error instanceof EtcdError && error.kind === 'compacted')) throw error
    }
    this.#compacted = { revision: until.revision, liveBytes: await this.#liveBytes() }
  }

  async #liveBytes(): Promise<number> {
    const { members } = await look(this.#client)
    return Math.max(0, ...members.map(({ status }) => status.dbSizeInUse))
  }

  async #defragment(members: Looked[], isAlarmed: boolean, isIncomplete: boolean): Promise<void> {
    const nowMs = this.#clock.hrtimeMs()
    const quota = this.#quotaOf(members)
    const isWorthIt = ({ url, status }: Looked) => {
      if (status.dbSize <= DEFRAGMENT_SHARE * quota) return false
      // What a compaction has freed shows only after further writes, and a full store takes none: then it is worth a try.
      return (isAlarmed && this.#isWorthATry(url, nowMs)) || status.dbSizeInUse < FREE_SHARE * status.dbSize
    }
    const due = members.filter(isWorthIt)
    if (due.length === 0 || (isIncomplete && members.length > 1)) return
    const { betweenMs, betweenFullMs } = this.#settings
    const isUrgent = due.some(({ status }) => status.dbSize > URGENT_SHARE * quota)
    if (!isAlarmed && nowMs - this.#defragmentedMs < (isUrgent ? betweenFullMs : betweenMs)) return
    if (!isAlarmed && lagOf(members) > LAG_MAX) return
    const isLeader = ({ status }: Looked) => status.leader === status.header?.memberId
    const chosen = due.find(member => !isLeader(member)) ?? due[0]!
    const heir = members.find(member => member !== chosen && !member.status.isLearner)?.status.header?.memberId
    if (isLeader(chosen) && heir !== undefined) await this.#client.at(chosen.url).moveLeader(heir)
    await this.#client.at(chosen.url).defragment()
    this.#defragmentedMs = this.#clock.hrtimeMs()
    this.#defragmentedAt.set(chosen.url, { revision: this.#compacted.revision, atMs: this.#defragmentedMs })
  }

  #isWorthATry(url: string, nowMs: number): boolean {
    const last = this.#defragmentedAt.get(url)
    return !last || last.revision !== this.#compacted.revision || nowMs - last.atMs >= this.#settings.againMs
  }

  async #disarm(): Promise<void> {
    const { members, failures } = await look(this.#client)
    const quota = this.#quotaOf(members)
    const hasRoom = members.every(({ status }) => status.dbSize < DISARM_SHARE * quota)
    if (failures.length > 0 || !hasRoom) return
    for (const { memberID } of await fullMembers(this.#client)) {
      await this.#client.disarm({ memberId: memberID, alarm: 'NOSPACE' })
    }
  }
}

/** In commits: between the member that is the furthest and the one that is the least far. */
function lagOf(members: Looked[]): bigint {
  const places = members.map(({ status }) => status.raftAppliedIndex)
  return (
    places.reduce((most, place) => (place > most ? place : most)) -
    places.reduce((least, place) => (place < least ? place : least))
  )
}

async function look(client: EtcdClient): Promise<{ members: Looked[]; failures: unknown[] }> {
  const looks = client.urls.map(async url => ({ url, status: await client.at(url).status() }))
  const members: Looked[] = []
  const failures: unknown[] = []
  for (const outcome of await Promise.allSettled(looks)) {
    if (outcome.status === 'fulfilled') members.push(outcome.value)
    else failures.push(outcome.reason)
  }
  return { members, failures }
}

async function fullMembers(client: EtcdClient) {
  return (await client.alarms()).filter(({ alarm }) => alarm === alarmType.NOSPACE)
}

async function isFull(client: EtcdClient): Promise<boolean> {
  return (await fullMembers(client)).length > 0
}
