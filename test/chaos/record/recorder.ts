/**
 * The ground truth of a run on etcd: every revision of the whole store from the first on, as the members told it, in order and without a hole.
 *
 * Watches of etcd are not to be trusted (they have lost, repeated and replayed events), so nothing is taken on trust: revisions must
 * follow one another, what is repeated is passed over, and a hole is asked for again, from another member. Compaction may take away what has not been
 * told yet; then the record is void, and so is the run. At the end a mark is written, and the record is complete when it has arrived.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../../packages/server/src/clock.ts'
import type { Write } from '../../../packages/server/src/engine/engine.ts'
import { EtcdClient } from '../../../packages/server/src/engine/etcd/client.ts'
import { Violation } from '../../checker/judge.ts'
import { streamFrom, type WatchReply } from './stream.ts'

/** `byMs`: when it had surely been made. */
export type Commit = { revision: number; writes: Write[]; atMs: number; byMs: number }

/** Of an empty store is 1. */
const FIRST_REVISION = 2
/** Beside the keys of Holdfast. */
const MARK = 'chaos/mark'
/** A member that tells nothing for so long, while servers beat, is left for another. */
const SILENT_MS = 2_000
const AGAIN_MS = 100
const COMPLETE_MS_MAX = 30_000

type Event = WatchReply['events'][number]

export class Recorder {
  /** The last that has been passed on. */
  revision = 0
  reopened = 0
  /** Why the record cannot be used, if it cannot. */
  trouble: string | null = null
  readonly client: EtcdClient
  readonly #passed: (commit: Commit) => void
  #pending: { revision: number; events: Event[] } | null = null
  #place = 0
  #heardMs = 0
  #stop: () => void = () => undefined
  #isOver = false
  #watchdog: NodeJS.Timeout | null = null
  #markSeen = ''

  constructor(urls: readonly string[], passed: (commit: Commit) => void) {
    this.client = new EtcdClient({ urls, clock: systemClock })
    this.#passed = passed
  }

  /** From the first commit of the store on, or from a later one. */
  start(fromRevision = FIRST_REVISION): void {
    this.revision = fromRevision - 1
    this.#open()
    this.#watchdog = setInterval(() => {
      if (performance.now() - this.#heardMs > SILENT_MS) this.#stop()
    }, SILENT_MS / 4)
  }

  /** Returns when everything that was committed before has been passed on. @throws Violation when that does not happen. */
  async complete(): Promise<void> {
    const value = `${process.pid} ${performance.now()}`
    const untilMs = performance.now() + COMPLETE_MS_MAX
    let isWritten = false
    while (this.#markSeen !== value && this.trouble === null) {
      if (this.#isOver || performance.now() > untilMs)
        throw new Violation(`the record is not complete after ${COMPLETE_MS_MAX} ms`)
      if (!isWritten) {
        const put = { requestPut: { key: Buffer.from(MARK), value: Buffer.from(value) } }
        isWritten = await this.client.txn({ success: [put] }).then(
          () => true,
          () => false,
        )
      }
      await sleep(AGAIN_MS / 2)
    }
    if (this.trouble) throw new Violation(`the record has a hole: ${this.trouble}`)
  }

  /** At most this was given up by whoever asks: nothing that has not been told. */
  async compact(): Promise<void> {
    await this.client.compact(this.revision).catch(() => undefined) // of a store that is down, or done already
  }

  close(): void {
    this.#isOver = true
    if (this.#watchdog) clearInterval(this.#watchdog)
    this.#stop()
    this.client.close()
  }

  #open(): void {
    const { urls } = this.client
    const url = urls[this.#place++ % urls.length]
    if (url === undefined || this.#isOver || this.trouble) return
    this.#heardMs = performance.now()
    this.#pending = null
    this.#stop = streamFrom(url, this.revision + 1, {
      heard: reply => this.#heard(reply),
      ended: () => {
        if (this.#isOver) return
        this.reopened++
        setTimeout(() => this.#open(), AGAIN_MS)
      },
    })
  }

  #heard({ events, compactRevision }: WatchReply): void {
    this.#heardMs = performance.now()
    if (compactRevision > 0) this.trouble = `compacted up to ${compactRevision}, and told only up to ${this.revision}`
    for (const event of events) {
      const revision = event.kv?.modRevision ?? 0
      if (this.#pending && revision !== this.#pending.revision) this.#flush()
      this.#pending ??= { revision, events: [] }
      this.#pending.events.push(event)
    }
    // etcd tells all of one revision in one reply.
    this.#flush()
  }

  #flush(): void {
    const pending = this.#pending
    this.#pending = null
    if (!pending || pending.revision <= this.revision) return
    if (pending.revision !== this.revision + 1) return this.#stop()
    this.revision = pending.revision
    const mark = pending.events.find(({ kv }) => textOf(kv?.key) === MARK)
    if (mark) this.#markSeen = textOf(mark.kv?.value)
    const toldMs = nowMs()
    this.#passed({ revision: pending.revision, writes: writesOf(pending.events), atMs: toldMs, byMs: toldMs })
  }
}

/** Of the clock that is common to all processes of the machine. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

function writesOf(events: readonly Event[]): Write[] {
  const writes: Write[] = []
  for (const { type, kv } of events) {
    const key = textOf(kv?.key)
    if (type === 0) writes.push({ key, value: kv?.value ?? new Uint8Array() })
    else if (/\/shards\/\d+\/log\//.test(key)) deleted(writes, key)
    else writes.push({ key, delete: true })
  }
  return writes
}

/** The cleaner deletes a range; etcd tells each key of it. */
function deleted(writes: Write[], key: string): void {
  const folder = key.slice(0, key.lastIndexOf('/') + 1)
  const seq = key.slice(folder.length)
  const to = `${folder}${String(Number(seq) + 1).padStart(seq.length, '0')}`
  const last = writes.at(-1)
  if (last && 'from' in last && last.to === key) last.to = to
  else writes.push({ from: key, to, delete: true })
}

function textOf(bytes: Uint8Array | undefined): string {
  return bytes ? Buffer.from(bytes).toString() : ''
}
