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
import type { CommitRequest, CommitResult } from '../../../packages/server/src/engine/engine.ts'
import { EtcdEngine } from '../../../packages/server/src/engine/etcd/etcd.ts'
import type { TurnAnswered } from '../../../packages/server/src/shards/telemetry.ts'
import { Promising, type ToTell } from '../../checker/promising.ts'
import { realTime } from '../client/real-time.ts'
import { type Counted, countedAt } from '../counted.ts'
import { TAPPED_LMDB } from './tapping.ts'

type Commits = { commit(request: CommitRequest): Promise<CommitResult> }

const openingLmdb = new URL('../../../packages/server/src/engine/lmdb/lmdb.ts', import.meta.url).href
const tappedLmdb = new URL('tapped-lmdb.ts', import.meta.url).href

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
  tap(EtcdEngine.prototype, new Promising(nowMs, tell, { tellsLog: false }))
  // Its engine has no class that others can name: the module that opens it is given another that opens it and has it tapped.
  const lmdb = new Promising(nowMs, tell, { tellsLog: true })
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

function tap(engine: Commits, { handed, settled }: Promising): void {
  const { commit } = engine
  engine.commit = async function (this: Commits, request) {
    handed(request)
    const result = await commit.call(this, request)
    settled(request, result)
    return result
  }
}

// Below what it needs.
if (path !== undefined && process.argv[1]?.endsWith('main.ts')) listen(path)
