/**
 * Loaded before all else into a server (`--import`, by NODE_OPTIONS), so that it writes down what it promises and on what ground: its beats, the shards
 * that it takes and gives up, each turn that it answers; and on LMDB, whose log nobody else can watch, every commit. It stands between the
 * server and its engine and changes nothing; nothing that is shipped knows of it.
 *
 * What was sent is timed before, what is known after, so that in doubt a promise is late and its ground is early: nothing is excused by this program.
 */
import { subscribe } from 'node:diagnostics_channel'
import { openSync, readdirSync, writeSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { CommitRequest, CommitResult, Write } from '../../../packages/server/src/engine/engine.ts'
import { EtcdEngine } from '../../../packages/server/src/engine/etcd/etcd.ts'
import { decodeBatch, hashBatch } from '../../../packages/server/src/shards/batch.ts'
import { decodeOwner } from '../../../packages/server/src/shards/ownership.ts'
import type { TurnAnswered } from '../../../packages/server/src/shards/telemetry.ts'
import { realTime } from '../client/real-time.ts'
import { type Counted, countedAt } from '../counted.ts'
import { TAPPED_LMDB } from './tapping.ts'
import type { Told } from './told.ts'

/** `Omit` of a union keeps no union. */
type ToTell = Told extends infer One ? (One extends Told ? Omit<One, 't'> : never) : never
type Commits = { commit(request: CommitRequest): Promise<CommitResult> }

const openingLmdb = new URL('../../../packages/server/src/engine/lmdb/lmdb.ts', import.meta.url).href
const tappedLmdb = new URL('tapped-lmdb.ts', import.meta.url).href

const MEMBER = /\/members\/[^/]+$/
const LOG = /\/shards\/(\d+)\/log\//
const BATCH = /\/shards\/(\d+)\/log\/\d+$/
const OWNER = /\/shards\/(\d+)\/owner$/
/** Values whose outcome is not known: a process has few at a time. */
const SENT_MAX = 64

const { CHAOS_TAP: path, CHAOS_CLOCK_RATE: rateText, CHAOS_SLEPT_MS: sleptText } = process.env
const { CHAOS_LOG_BYTES_MIN: bytesText } = process.env
function listen(file: string): void {
  const rate = Number(rateText ?? 1)
  const { nowMs } = realTime({ isClockFaked: rateText !== undefined, sleptMs: Number(sleptText ?? 0) })
  const descriptor = openSync(file, 'a')
  const tell = (line: ToTell) => void writeSync(descriptor, `${JSON.stringify({ t: nowMs(), ...line })}\n`)
  tell({ e: 'start', pid: process.pid })
  subscribe('holdfast.turn', message => {
    // As telemetry publishes it.
    const { shard, epoch, seq, asked, isLogged, decidedMs } = message as TurnAnswered
    if (asked === 0) return
    const at = nowMs() - (performance.now() - decidedMs) / rate
    tell({ e: 'answered', shard, epoch, seq, asked, isLogged, at })
  })
  if (bytesText !== undefined) cleanFrom(Number(bytesText))
  countWhenTold(openSync(countedAt(file), 'a'))
  tap(EtcdEngine.prototype, new Tap(nowMs, tell, { tellsLog: false }))
  // Its engine has no class that others can name: the module that opens it is given another that opens it and has it tapped.
  const lmdb = new Tap(nowMs, tell, { tellsLog: true })
  subscribe(TAPPED_LMDB, engine => tap(engine as Commits, lmdb)) // as `tapped-lmdb.ts` publishes it
  registerHooks({
    resolve(specifier, context, next) {
      const resolved = next(specifier, context)
      const isOther = resolved.url === openingLmdb && context.parentURL !== tappedLmdb
      return isOther ? { ...resolved, url: tappedLmdb } : resolved
    },
  })
}

/** As the option of the same name, which only tests of the room can give. */
function cleanFrom(bytes: number): void {
  const file = new URL('../../../packages/server/src/shards/cleaner.ts', import.meta.url).href
  registerHooks({
    load(url, context, next) {
      const loaded = next(url, context)
      if (url !== file) return loaded
      const find = 'export const LOG_BYTES_MIN = 16 * 1024 * 1024'
      const parts = String(loaded.source).split(find)
      if (parts.length !== 2) throw new Error(`this is not in ${file} once: ${find}`)
      return { ...loaded, source: parts.join(`export const LOG_BYTES_MIN = ${bytes}`) }
    },
  })
}

/** After a collection, so that only what is held counts. */
function countWhenTold(descriptor: number): void {
  setFlagsFromString('--expose-gc')
  // What V8 gives a new context once it has been told so.
  const collect = runInNewContext('gc') as () => void
  process.on('SIGUSR2', () => {
    collect()
    const { heapUsed, external } = process.memoryUsage()
    const descriptors = readdirSync('/proc/self/fd').length
    const counted: Counted = { heapBytes: heapUsed, outsideBytes: external, descriptors }
    writeSync(descriptor, `${JSON.stringify(counted)}\n`)
  })
}

function tap(engine: Commits, { handed, settled }: Tap): void {
  const { commit } = engine
  engine.commit = async function (this: Commits, request) {
    handed(request)
    const result = await commit.call(this, request)
    settled(request, result)
    return result
  }
}

class Tap {
  readonly #nowMs: () => number
  readonly #tell: (line: ToTell) => void
  readonly #tellsLog: boolean
  /** By key and value, when each was sent for the first time: it may have been written then. */
  readonly #sent = new Map<string, number>()
  /** Shards that were taken, and nothing was appended to since. */
  readonly #taken = new Set<number>()

  constructor(nowMs: () => number, tell: (line: ToTell) => void, { tellsLog }: { tellsLog: boolean }) {
    this.#nowMs = nowMs
    this.#tell = tell
    this.#tellsLog = tellsLog
  }

  readonly handed = ({ writes }: CommitRequest): void => {
    for (const write of writes) {
      this.#appends(write)
      const name = nameOf(write)
      if (name === null || this.#sent.has(name) || !('value' in write)) continue
      this.#sent.set(name, this.#nowMs())
      const left = owned(write)
      // Whatever becomes of it: nothing is answered any more.
      if (left?.server === '') this.#tell({ e: 'owner', ...left, from: this.#nowMs() })
      const oldest = this.#sent.keys().next().value
      if (this.#sent.size > SENT_MAX && oldest !== undefined) this.#sent.delete(oldest)
    }
    if (this.#tellsLog) this.#log(writes)
  }

  #appends(write: Write): void {
    const shard = 'value' in write ? BATCH.exec(write.key)?.[1] : undefined
    if (shard === undefined || !('value' in write) || !this.#taken.delete(Number(shard))) return
    const { epoch, seq } = decodeBatch(write.value)
    this.#tell({ e: 'opened', shard: Number(shard), epoch, seq })
  }

  #log(writes: readonly Write[]): void {
    for (const write of writes) {
      const shard = 'value' in write ? BATCH.exec(write.key)?.[1] : undefined
      if (shard === undefined || !('value' in write)) continue
      const appended = { seq: decodeBatch(write.value).seq, hash: hashBatch(write.value) }
      this.#tell({ e: 'log', shard: Number(shard), appended, deleted: deletedBy(writes) })
      return
    }
    const deleted = deletedBy(writes)
    const shard = LOG.exec(deleted[0]?.from ?? '')?.[1]
    if (shard !== undefined) this.#tell({ e: 'log', shard: Number(shard), appended: null, deleted })
  }

  readonly settled = ({ writes, checks }: CommitRequest, result: CommitResult): void => {
    for (const write of writes) {
      const name = nameOf(write)
      const from = name === null ? undefined : this.#sent.get(name)
      if (name === null || from === undefined || !('value' in write)) continue
      // An attempt before this one may have passed without anybody hearing of it.
      const found = result.ok ? null : result.found[checks.findIndex(({ key }) => key === write.key)]
      if (!result.ok && (!found || Buffer.compare(found.value, write.value) !== 0)) continue
      this.#sent.delete(name)
      const taken = owned(write)
      if (!taken) this.#tell({ e: 'beat', from })
      else if (taken.server !== '') {
        this.#taken.add(taken.shard)
        this.#tell({ e: 'owner', ...taken, from })
      }
    }
  }
}

/** Of what is told of; null: it is not. */
function nameOf(write: Write): string | null {
  if (!('value' in write) || !(MEMBER.test(write.key) || OWNER.test(write.key))) return null
  return `${write.key} ${Buffer.from(write.value).toString('base64')}`
}

/** Of the log of a shard. */
function deletedBy(writes: readonly Write[]): { from: string; to: string }[] {
  return writes.flatMap(write => {
    if ('value' in write) return []
    const { from, to } = 'from' in write ? write : { from: write.key, to: `${write.key}\0` }
    return LOG.test(from) ? [{ from, to }] : []
  })
}

/** What an owner record says, if it is one. */
function owned(write: { key: string; value: Uint8Array }): { shard: number; server: string; epoch: number } | null {
  const match = OWNER.exec(write.key)
  if (!match) return null
  const { server, epoch } = decodeOwner({ ...write, modRevision: 0 })
  return { shard: Number(match[1]), server, epoch }
}

// Below what it needs.
if (path !== undefined && process.argv[1]?.endsWith('main.ts')) listen(path)
