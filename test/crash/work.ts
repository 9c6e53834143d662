/**
 * The process that is recorded: shards on the real store, under a load that is drawn from a seed, until it kills itself. What its clients ask and are told
 * goes to its standard output, one call of the kernel for each, so that it lies in the trace among the writes of the store; every commit
 * goes to a file beside it before the store has it.
 */
import { appendFileSync, writeSync } from 'node:fs'
import { serialize } from 'node:v8'
import { systemClock } from '../../packages/server/src/clock.ts'
import type { CommitRequest, CommitResult, Engine, Write } from '../../packages/server/src/engine/engine.ts'
import { openLmdb } from '../../packages/server/src/engine/lmdb/lmdb.ts'
import type { Command } from '../../packages/server/src/locks/model.ts'
import { systemRandom } from '../../packages/server/src/random.ts'
import type { Answer, Shards } from '../../packages/server/src/shards/port.ts'
import { openShards } from '../../packages/server/src/shards/shards.ts'
import { type Chance, chanceOf } from '../simulator/chance.ts'
import type { Mark } from './recording.ts'

const LINES = 12
const CONVOYS = 2
const TTL_MS = 600_000
/** So small that the cleaner is at work all the time. */
const LOG_BYTES_MIN = 24 * 1024
const VALUE_BYTES_MAX = 6_000
/** As small as it may be: each life shall fill its journals several times. */
const JOURNAL_BYTES = 2 * 1024 * 1024
/** Of commits of others beside those of the shards: how often, how many at once, their keys, and how large a few of them are. */
const BESIDE_RATE = 0.3
const BESIDE_AT_ONCE_MAX = 4
const BESIDE_KEYS = 6
const BESIDE_LARGE_RATE = 0.5
const BESIDE_BYTES_MAX = 900_000
/** A process that is killed in the middle of a write has begun it so long before, at the most. */
const BEGUN_MS_MAX = 1

const [, , path = '', commitsFile = '', seedText = '1', commitsText = '100'] = process.argv
const seed = Number(seedText)
const commitsMax = Number(commitsText)
/** As its last commit is being written, or as it has been answered. */
const isKilledInside = seed % 2 === 0
let numbers = 0

// Sessions outlive the process that is killed, and what they held stays held: each life has names of its own, by its seed.
/** One line of a pipe is one call: where it lies in the trace is when it was said. */
const say = (mark: Mark) => writeSync(1, `${JSON.stringify(mark)}\n`)
const keep = (record: object) => {
  const bytes = serialize(record)
  const head = Buffer.alloc(4)
  head.writeUInt32LE(bytes.length)
  appendFileSync(commitsFile, Buffer.concat([head, bytes]))
}

const inner = await openLmdb({ path, journalBytes: JOURNAL_BYTES })
const { revision } = await inner.list({ prefix: 'crash', limit: 1 })
keep({ opened: revision })
let handed = 0
let made = 0
const chanceBeside = chanceOf(seed, 'beside')
if (commitsMax === 0) process.kill(process.pid, 'SIGKILL')
const engine: Engine = {
  name: inner.name,
  read: (key, options) => inner.read(key, options),
  list: options => inner.list(options),
  watch: options => inner.watch(options),
  size: () => inner.size(),
  close: () => inner.close(),
  commit(request) {
    if (chanceBeside.isLuckyAt(BESIDE_RATE)) beside(chanceBeside)
    return commit(request)
  },
}
// At once: what a former life has left is still on its way to LMDB, if that is not waited for.
beside(chanceBeside)
const shards = await openShards({
  engine,
  clock: systemClock,
  random: systemRandom,
  config: {
    root: 'crash',
    name: 'server',
    address: '127.0.0.1:1',
    shards: 1,
    logBytesMin: LOG_BYTES_MIN,
    fatal: error => {
      throw error
    },
    // Whoever had it was killed.
    processes: { own: () => ({ pid: 1, bootId: null, pidNamespace: null, processStart: null }), stateOf: () => 'gone' },
  },
})
const results = await Promise.all(Array.from({ length: LINES }, (_, line) => work(shards, line)))
throw new Error(`${results.length} lines of work have ended by themselves`)

async function commit(request: CommitRequest): Promise<CommitResult> {
  keep({ writes: request.writes })
  const taking = inner.commit(request)
  if (++handed >= commitsMax && isKilledInside) {
    const begunMs = performance.now()
    const waitMs = chanceBeside.between(0, BEGUN_MS_MAX)
    while (performance.now() - begunMs < waitMs);
    process.kill(process.pid, 'SIGKILL')
  }
  const result = await taking
  if (!result.ok) throw new Error('nobody else writes here: a refused commit is none of this load')
  say({ say: 'durable', revision: result.revision })
  // As a machine dies: in the middle of whatever is under way.
  if (++made >= commitsMax) process.kill(process.pid, 'SIGKILL')
  return result
}

/** Several at once share a write, some fill much of a journal, and what they put is put again or deleted before long. */
function beside(chance: Chance): void {
  for (let left = 1 + chance.below(BESIDE_AT_ONCE_MAX); left > 0; left--)
    void commit({ checks: [], writes: [writeBeside(chance)] })
}

function writeBeside(chance: Chance): Write {
  const key = `crash-beside/${chance.below(BESIDE_KEYS)}`
  if (chance.isLuckyAt(0.1)) return { from: key, to: `${key}~`, delete: true }
  if (chance.isLuckyAt(0.1)) return { key, delete: true }
  const bytes = chance.below(chance.isLuckyAt(BESIDE_LARGE_RATE) ? BESIDE_BYTES_MAX : VALUE_BYTES_MAX)
  return { key, value: Buffer.alloc(1 + bytes, `${seed} ${handed} `) }
}

async function work(port: Shards, line: number): Promise<never> {
  const chance = chanceOf(seed, `line ${line}`)
  const session = await open(port)
  for (let round = 0; ; round++) {
    const kind = chance.below(8)
    if (kind === 0) await hold(port, session, `held/${seed}/${line}/${round}`)
    else if (kind === 1) await leave(port, `left/${seed}/${line}/${round}`)
    else
      await cycle(port, session, chance, kind < 4 ? `convoy/${seed}/${chance.below(CONVOYS)}` : `own/${seed}/${line}`)
  }
}

async function open(port: Shards): Promise<string> {
  const number = ++numbers
  say({ say: 'asked', number, what: 'open' })
  const answer = await ask(port, { type: 'open_session', by: 'crash', ttlMs: TTL_MS, labels: null })
  if (!answer.ok || answer.type !== 'session') throw new Error(`no session: ${JSON.stringify(answer)}`)
  say({ say: 'told', number, session: answer.session.id })
  return answer.session.id
}

async function hold(port: Shards, session: string, lock: string, value: string | null = null): Promise<number> {
  const number = ++numbers
  say({ say: 'asked', number, what: 'acquire', session, lock })
  const answer = await ask(port, {
    type: 'acquire',
    by: 'crash',
    session,
    claims: [{ lock, mode: 'exclusive', permits: 1, limit: 0, maxHoldMs: null, lockDelayMs: null }],
    waitMs: null,
    priority: 0,
    preempt: 'never',
    isReentrant: false,
    task: `${number}`,
    request: number,
    labels: null,
    metadata: null,
    value,
  })
  if (!answer.ok || answer.type !== 'granted') throw new Error(`not granted: ${JSON.stringify(answer)}`)
  const { token } = answer.grants[0]!
  say({ say: 'told', number, token })
  return token
}

async function cycle(port: Shards, session: string, chance: Chance, lock: string): Promise<void> {
  const value = chance.isLuckyAt(0.3) ? 'v'.repeat(1 + chance.below(VALUE_BYTES_MAX)) : null
  const token = await hold(port, session, lock, value)
  const number = ++numbers
  say({ say: 'asked', number, what: 'release', session, lock, token })
  const answer = await ask(port, {
    type: 'release',
    by: 'crash',
    session,
    grants: [{ lock, token }],
    request: number,
  })
  if (!answer.ok) throw new Error(`not released: ${JSON.stringify(answer)}`)
  say({ say: 'told', number, token })
}

/** A session of its own, and what it holds when it goes. */
async function leave(port: Shards, lock: string): Promise<void> {
  const session = await open(port)
  await hold(port, session, lock)
  const number = ++numbers
  say({ say: 'asked', number, what: 'close', session })
  const answer = await ask(port, { type: 'close_session', by: 'crash', session })
  if (!answer.ok) throw new Error(`not closed: ${JSON.stringify(answer)}`)
  say({ say: 'told', number, session })
}

function ask(port: Shards, command: Command): Promise<Answer> {
  return new Promise((answer, fail) => void port.submit('main', command, { answer, fail }))
}
