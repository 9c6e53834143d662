/**
 * Whether the trail is what was written: every batch and every link names the hash of the one before, so what has been edited, taken out, put in or
 * moved breaks the chain at its place. Checked in parts, each of which says where the next one goes on.
 *
 * What a chain cannot show by itself: that its newest end has been cut off, or that somebody has rewritten all of it from some place on. For that its
 * head is kept elsewhere (`heads`): a chain that no longer holds a head that it had has been tampered with.
 */
import { hash } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { EngineReads, KeyValue } from '../engine/engine.ts'
import { decodeHead, hashLink, noHead, type RegistryKeys } from '../registry/store.ts'
import { hashBatch } from '../shards/batch.ts'
import type { Keys } from '../shards/keys.ts'
import { type ArchiveIndex, decodeIndex, emptyIndex, type SegmentLine } from './archive-index.ts'
import { headerOf } from './header.ts'
import type { AuditKeys } from './keys.ts'
import { beginning, type Progress } from './progress.ts'
import { storedOf } from './reading.ts'
import { Budget } from './scanning.ts'
import { decodeSegment } from './segment.ts'
import { linkOf, textOf } from './spoilt.ts'

export type Problem = {
  /** `shard 0`, or `trail`. */
  chain: string
  /** Of the batch or link at which it was seen. */
  seq: number
  kind: 'edited' | 'missing' | 'moved' | 'unreadable' | 'truncated' | 'anchor'
  message: string
}

export type ChainHead = { chain: string; seq: number; hash: string }

export type Checked = { batches: number; problems: Problem[]; heads: ChainHead[]; next: Progress | null }

export type ChainSources = {
  engine: EngineReads
  clock: Clock
  keys: Keys
  auditKeys: AuditKeys
  registryKeys: RegistryKeys
  shards: number
  /** What leaves a log goes into its archive, so there is one as soon as anything has left. */
  isArchived: boolean
}

/** Text that is looked at in one part: less than a second. */
export const CHECK_BYTES_MAX = 64 * 1024 * 1024
const PAGE = 128

/** One part of the check of everything: all shards, then the administrative trail. `known`: heads that were seen before. */
export async function checkChain(
  sources: ChainSources,
  from: Progress = beginning,
  known: readonly ChainHead[] = [],
): Promise<Checked> {
  const check = new Check(sources, from, known)
  return check.run()
}

class Check {
  readonly #sources: ChainSources
  readonly #known: readonly ChainHead[]
  readonly #budget: Budget
  readonly #checked: Checked = { batches: 0, problems: [], heads: [], next: null }
  #at: Progress
  /** Of the index of the archive when it was last looked at in this part; null: not in this part. */
  #revision: number | null = null

  constructor(sources: ChainSources, from: Progress, known: readonly ChainHead[]) {
    this.#sources = sources
    this.#known = known
    this.#at = { ...from }
    this.#budget = new Budget(CHECK_BYTES_MAX, sources.clock)
  }

  async run(): Promise<Checked> {
    while (this.#at.part !== 'trail') {
      const isDone = this.#at.part === 'archive' ? await this.#archive() : await this.#log()
      if (!isDone) return { ...this.#checked, next: this.#at }
    }
    if (!(await this.#trail())) return { ...this.#checked, next: this.#at }
    this.#absent()
    return { ...this.#checked, next: null }
  }

  get #chain(): string {
    return this.#at.part === 'trail' ? 'trail' : `shard ${this.#at.shard}`
  }

  async #archive(): Promise<boolean> {
    let archive = await this.#readIndex()
    if (this.#at.seq < 0) await this.#strays(archive.index)
    for (let place = 0; place < archive.index.segments.length; place++) {
      const line = archive.index.segments[place]!
      if (line.last <= this.#at.seq) continue
      // Dropped since the part before this one: nothing vouches for what is the oldest now but the index.
      if (place === 0 && line.first > this.#at.seq + 1) this.#at = { ...this.#at, seq: -1, hash: '' }
      if (!(await this.#segment(line, archive.index))) {
        archive = await this.#readIndex()
        place = -1
      } else if (this.#budget.isUsedUp) return false
    }
    this.#revision = archive.revision
    const { seq, hash: last } = this.#at
    this.#at = { ...this.#at, part: 'log', seq: -1, hash: '', archivedSeq: seq, archivedHash: last }
    return true
  }

  async #readIndex(): Promise<{ index: ArchiveIndex; revision: number }> {
    const { engine, auditKeys } = this.#sources
    const pair = await engine.read(auditKeys.index(this.#at.shard))
    return pair ? { index: decodeIndex(pair.value), revision: pair.modRevision } : { index: emptyIndex, revision: 0 }
  }

  /** Whether it was there to be looked at, or should have been; not: retention has dropped it since the index was read. */
  async #segment(line: SegmentLine, index: ArchiveIndex): Promise<boolean> {
    const { engine, auditKeys } = this.#sources
    const pair = await engine.read(auditKeys.segment(this.#at.shard, line.first))
    if (!pair && !isNamed((await this.#readIndex()).index, line.first)) return false
    const batches = pair && decodeSegment(pair.value)
    const what = `segment ${line.first} to ${line.last} of the archive`
    if (!pair) this.#found('missing', line.first, `${what} is not there`)
    else if (!batches) this.#found('unreadable', line.first, `${what} is no segment any more`)
    else if (batches.length !== line.last - line.first + 1)
      this.#found('missing', line.first, `${what} has ${batches.length} batches`)
    // The chain goes on behind it, from a place that nothing vouches for.
    if (!batches) this.#at = { ...this.#at, seq: line.last, hash: '' }
    for (const [place, bytes] of (batches ?? []).entries()) {
      const isFirst = this.#at.seq < 0
      await this.#batch(line.first + place, bytes)
      if (isFirst) this.#anchored(line.first, bytes, index.anchor)
    }
    this.#at.seq = Math.max(this.#at.seq, line.last)
    return true
  }

  /** The oldest that is kept must follow what the index says was before it. */
  #anchored(seq: number, bytes: Uint8Array, anchor: string): void {
    const prev = headerOf(textOf(bytes))?.prev
    if (prev !== undefined && prev !== anchor)
      this.#found('anchor', seq, 'the oldest batch of the archive is not the one that was written down as such')
  }

  /** Segments that the index does not know of have been put there, or it has been put back. */
  async #strays({ segments }: ArchiveIndex): Promise<void> {
    const { engine, auditKeys } = this.#sources
    const known = new Set(segments.map(({ first }) => first))
    const end = segments.at(-1)?.last ?? -1
    const prefix = auditKeys.segments(this.#at.shard)
    for (let after: string | undefined, more = true; more; ) {
      const page = await engine.list({ prefix, limit: 4, ...(after === undefined ? {} : { after }) })
      const unknown = page.pairs.map(({ key }) => Number(key.slice(prefix.length))).filter(first => !known.has(first))
      const now = unknown.length > 0 ? (await this.#readIndex()).index : emptyIndex
      for (const first of unknown) {
        // Written since the index was read, and perhaps dropped again.
        const isNewer = first > end && (isNamed(now, first) || first < (now.segments[0]?.first ?? 0))
        if (!isNewer) this.#found('moved', first, 'a segment of the archive is there that its index does not know of')
      }
      after = page.pairs.at(-1)?.key
      more = page.more
    }
  }

  async #log(): Promise<boolean> {
    const { engine, keys, shards } = this.#sources
    const { shard } = this.#at
    for (let more = true; more; ) {
      const after = this.#at.seq < 0 ? {} : { after: keys.batch(shard, this.#at.seq) }
      const page: { pairs: KeyValue[]; more: boolean } = await engine.list({
        prefix: keys.log(shard),
        limit: PAGE,
        ...after,
      })
      for (const { seq, bytes } of page.pairs.map(storedOf)) {
        if (this.#at.seq < 0 && seq > this.#at.archivedSeq + 1) await this.#join(seq)
        if (this.#at.seq >= 0 && seq > this.#at.seq + 1) await this.#overtaken(seq)
        await this.#batch(seq, bytes)
        if (seq === this.#at.archivedSeq + 1) this.#follows(seq, bytes)
      }
      more = page.more
      if (more && this.#budget.isUsedUp) return false
    }
    this.#ended()
    const isLast = shard + 1 === shards
    const fresh = { ...beginning, shard: isLast ? shard : shard + 1 }
    this.#at = isLast ? { ...fresh, part: 'trail' } : fresh
    return true
  }

  /** The log begins behind the archive: they are one chain. */
  async #join(begin: number): Promise<void> {
    const { archivedSeq, archivedHash } = this.#at
    // Read again: the first segment may have been written since.
    const isGone = archivedSeq < 0 && (await this.#readIndex()).index.segments.length === 0
    if (isGone && this.#sources.isArchived)
      this.#found('missing', 0, `the log begins with batch ${begin}, and there is no archive of those before`)
    this.#at = { ...this.#at, seq: archivedSeq, hash: archivedHash }
  }

  /** What is not in the log any more may have been archived since the archive was looked at, and dropped from there too. */
  async #overtaken(before: number): Promise<void> {
    for (let isFilled = false; !isFilled; ) {
      const { index, revision } = await this.#readIndex()
      const oldest = index.segments[0]
      // Only where the archive is another one than before: at rest retention has taken nothing that was to be seen.
      if (oldest && oldest.first > this.#at.seq + 1 && revision !== this.#revision) {
        const first = Math.min(oldest.first, before)
        this.#at = { ...this.#at, seq: first - 1, hash: first === oldest.first ? index.anchor : '' }
      }
      this.#revision = revision
      isFilled = await this.#filled(index, before)
    }
  }

  /** Not: the archive has been changed meanwhile, and a segment is no longer there. */
  async #filled({ segments }: ArchiveIndex, before: number): Promise<boolean> {
    const { engine, auditKeys } = this.#sources
    for (const line of segments) {
      if (line.last <= this.#at.seq || line.first >= before) continue
      const segment = await engine.read(auditKeys.segment(this.#at.shard, line.first))
      if (!segment && !isNamed((await this.#readIndex()).index, line.first)) return false
      for (const [place, bytes] of (segment ? (decodeSegment(segment.value) ?? []) : []).entries()) {
        const seq = line.first + place
        if (seq > this.#at.seq && seq < before) await this.#batch(seq, bytes)
      }
    }
    return true
  }

  /** The first batch that is not archived names the last that is: so what lies in both is the same in both. */
  #follows(seq: number, bytes: Uint8Array): void {
    const prev = headerOf(textOf(bytes))?.prev
    const { archivedHash } = this.#at
    if (archivedHash !== '' && prev !== undefined && prev !== archivedHash)
      this.#found('edited', seq, `batch ${seq} does not follow from the archive’s copy of batch ${seq - 1}`)
  }

  async #batch(seq: number, bytes: Uint8Array): Promise<void> {
    const own = hashBatch(bytes)
    const text = textOf(bytes)
    await this.#budget.spend(text.length + 1)
    this.#checked.batches++
    const last = this.#at
    const head = headerOf(text)
    if (last.seq >= 0 && seq > last.seq + 1) this.#gap(last.seq + 1, seq - 1)
    if (!head) this.#found('unreadable', seq, `batch ${seq} is no batch any more`)
    else if (head.seq !== seq) this.#found('moved', seq, `batch ${head.seq} lies at the place of batch ${seq}`)
    else if (last.hash !== '' && seq === last.seq + 1 && head.prev !== last.hash)
      this.#found(
        'edited',
        seq,
        `batch ${seq} does not follow from batch ${seq - 1} as it is now: one of the two was changed`,
      )
    this.#compare(seq, own)
    this.#at = { ...last, seq, hash: own }
  }

  #gap(from: number, to: number): void {
    this.#found('missing', from, from === to ? `batch ${from} is missing` : `batches ${from} to ${to} are missing`)
  }

  #compare(seq: number, own: string): void {
    for (const head of this.#known) {
      if (head.chain !== this.#chain || head.seq !== seq || head.hash === own) continue
      this.#found(
        'edited',
        seq,
        `${this.#chain === 'trail' ? 'link' : 'batch'} ${seq} is not what it was when its hash was taken`,
      )
    }
  }

  /** The end of a chain, or that there is nothing of it: it must reach every head that it had. */
  #ended(): void {
    const { seq, hash: own } = this.#at
    if (seq >= 0) this.#checked.heads.push({ chain: this.#chain, seq, hash: own })
    for (const head of this.#known) {
      if (head.chain !== this.#chain || head.seq <= seq) continue
      const what = seq < 0 ? 'nothing of it is there' : `it ends with ${seq}`
      this.#found('truncated', seq, `${what}, but ${head.seq} has been there: the newest have been cut off`)
    }
  }

  /** Heads of chains that this cluster does not have: nothing that is here vouches for them. */
  #absent(): void {
    const { shards } = this.#sources
    const chains = new Set(['trail', ...Array.from({ length: shards }, (_, shard) => `shard ${shard}`)])
    for (const { chain, seq } of this.#known) {
      if (chains.has(chain)) continue
      const message = `there is no such chain here, but ${seq} of it has been: the cluster has ${shards} shards`
      this.#checked.problems.push({ chain, seq: -1, kind: 'truncated', message })
    }
  }

  async #trail(): Promise<boolean> {
    const { engine, registryKeys } = this.#sources
    const pair = await engine.read(registryKeys.head)
    const head = pair ? decodeHead(pair.value) : noHead
    for (let more = true; more; ) {
      const after = registryKeys.link(Math.max(0, this.#at.seq))
      const page: { pairs: KeyValue[]; more: boolean } = await engine.list({
        prefix: registryKeys.trail,
        limit: PAGE,
        after,
      })
      for (const { key, value } of page.pairs)
        await this.#link(Number(key.slice(registryKeys.trail.length)), value, head)
      more = page.more
      if (more && this.#budget.isUsedUp) return false
    }
    const { seq, hash: own } = this.#at
    // More may have been added since the head was read.
    if (head.seq > 0 && seq < head.seq)
      this.#found('truncated', seq, `the trail ends with link ${seq}, its head says ${head.seq}`)
    if (seq === head.seq && own !== head.hash)
      this.#found('edited', seq, `link ${seq} is not the one that the head names`)
    this.#ended()
    return true
  }

  async #link(
    seq: number,
    bytes: Uint8Array,
    head: { firstSeq: number; anchor: string; seq: number; hash: string },
  ): Promise<void> {
    await this.#budget.spend(bytes.byteLength + 1)
    this.#checked.batches++
    const own = hashLink(bytes)
    const last = this.#at
    const link = linkOf(bytes)
    const before = last.seq < 0 ? head.anchor : last.hash
    const expected = last.seq < 0 ? head.firstSeq : last.seq + 1
    if (seq > expected) this.#found('missing', expected, `links ${expected} to ${seq - 1} are missing`)
    if (!link) this.#found('unreadable', seq, `link ${seq} is no link any more`)
    else if (link.seq !== seq) this.#found('moved', seq, `link ${link.seq} lies at the place of link ${seq}`)
    else if (seq === expected && link.prev !== before)
      this.#found(
        'edited',
        seq,
        `link ${seq} does not follow from link ${seq - 1} as it is now: one of the two was changed`,
      )
    if (seq === head.seq && own !== head.hash)
      this.#found('edited', seq, `link ${seq} is not the one that the head names`)
    this.#compare(seq, own)
    this.#at = { ...last, seq, hash: own }
  }

  #found(kind: Problem['kind'], seq: number, message: string): void {
    this.#checked.problems.push({ chain: this.#chain, seq, kind, message })
  }
}

function isNamed({ segments }: ArchiveIndex, first: number): boolean {
  return segments.some(line => line.first === first)
}

/** One line that stands for all heads, short enough to be written down. */
export function digestOf(heads: readonly ChainHead[]): string {
  const lines = heads.map(({ chain, seq, hash: own }) => `${chain} ${seq} ${own}`).sort()
  return hash('sha256', lines.join('\n'), 'hex')
}
