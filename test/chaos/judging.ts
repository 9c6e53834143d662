/**
 * Judges a run when it is over: what the clients wrote down, what the protected resource wrote down, and what the store was found to hold, brought
 * together on the one clock that all processes of a machine share. The judges are those of the simulator (`test/checker`); here they are fed.
 */
import { Beliefs } from '../checker/beliefs.ts'
import { Grants } from '../checker/grants.ts'
import { Histories } from '../checker/histories.ts'
import { Violation } from '../checker/judge.ts'
import type { Operation } from '../checker/linear.ts'
import { tokenOf } from '../checker/lock-model.ts'
import type { Written } from '../checker/log.ts'
import { judgePromises } from '../checker/promises.ts'
import type { Told } from '../checker/promising.ts'
import { Events, type Item, type Seen } from '../checker/watching.ts'
import type { Line } from './client/history.ts'

/** `atMs`: when the recorder was told, or when it was decided; `byMs`: when the commit had surely been made. */
export type Recorded = { written: Written; atMs: number; byMs: number }
/** The log of a shard begins with batch `keptFrom` since then: what was before it has been cleaned. */
export type Cleaning = { atMs: number; shard: number; keptFrom: number }
/** `how`: `paused` where its client was stopped between the check and the write. */
export type Attempt = { t: number; lock: string; token: number; how: string; ok: boolean }

export type Evidence = {
  recorded: readonly Recorded[]
  cleanings: readonly Cleaning[]
  /** Of each client process. */
  histories: readonly (readonly Line[])[]
  attempts: readonly Attempt[]
  /** Processes that were killed: the first part of the names of their clients, and when. */
  deaths: readonly { by: string; t: number }[]
  instance: string
  /** What the servers have told of themselves, by their places. */
  promises: readonly (readonly Told[])[]
}

/** A session with a TTL of its own, since when it was promised, and when it was ended, so late. */
export type Expiry = { fromMs: number; ttlMs: number; atMs: number; lateMs: number }

export type Judgement = {
  /** By invariant, in the order in which they were found. */
  violations: { invariant: string; what: string }[]
  figures: {
    grants: number
    /** Granted, and no client ever heard of it. */
    ghosts: number
    beliefs: number
    accepted: number
    refused: number
    /** Of clients that were stopped between the check and the write. */
    refusedAfterPause: number
    watched: number
    /** What clients saw of locks, and was judged; histories for which an order was searched, and states that were looked at. */
    seen: number
    searched: number
    linearStates: number
    undecided: number
    /** In which a server answered for a shard. */
    windows: number
    /** Turns. */
    answered: number
  }
  /** Of each session that nobody renewed: how long after its promise was surely over it was ended. */
  expiries: Expiry[]
  acquires: { calledMs: number; returnedMs: number }[]
  counts: Record<string, number>
}

/** Clocks may differ in rate by this much from the shard's: a session that is over sooner was ended before its promise was. */
const RATE_MAX = 1.1
/** A request that took longer may have been sent again: since when its session is promised time is not known. */
const PROMPT_MS = 250
/** For events to reach a watcher. */
const WATCH_MS = 3_000

export function judge(evidence: Evidence): Judgement {
  const violations: Judgement['violations'] = []
  const found = (check: () => void) => {
    try {
      check()
    } catch (error) {
      if (!(error instanceof Violation)) throw error
      violations.push({ invariant: /^I\d+/.exec(error.message)?.[0] ?? 'run', what: error.message })
    }
  }
  const lines = evidence.histories.flat()
  for (const line of lines) if (line.e === 'wrong') found(() => fail(line.what))
  const { grants, ghosts } = judgeGrants(evidence, lines, found)
  const beliefs = judgeBeliefs(evidence, lines, found)
  judgeResource(evidence, grants, found)
  const linear = judgeLinear(evidence, lines, found)
  const watched = judgeWatchers(evidence, found)
  const expiries = judgeExpiries(evidence, lines, found)
  const promises = judgePromises(evidence, found)
  return {
    violations,
    figures: {
      grants: grants.logged.size,
      ghosts,
      beliefs,
      accepted: evidence.attempts.filter(({ ok }) => ok).length,
      refused: evidence.attempts.filter(({ ok }) => !ok).length,
      refusedAfterPause: evidence.attempts.filter(({ ok, how }) => !ok && how === 'paused').length,
      watched,
      seen: linear.operations,
      searched: linear.searched,
      linearStates: linear.states,
      undecided: linear.undecided,
      ...promises,
    },
    expiries,
    acquires: linear.acquires,
    counts: countsOf(evidence.histories),
  }
}

export type Found = (check: () => void) => void

/** I5, I6, I18: what clients were told, against the log. */
function judgeGrants({ recorded, instance }: Evidence, lines: readonly Line[], found: Found) {
  const grants = new Grants()
  for (const { written } of recorded) if (written.instance === instance) found(() => grants.wrote(written))
  const told = new Set<number>()
  for (const line of lines) {
    if (line.e === 'grant') found(() => grants.told(line))
    if (line.e === 'idle') found(() => grants.told(line))
    if (line.e === 'released') found(() => grants.toldReleased(line))
    if (line.e === 'refused') found(() => grants.toldRefused(line.operation))
    if (line.e === 'grant' || line.e === 'idle') told.add(line.token)
  }
  let ghosts = 0
  for (const { token, lock, ended } of grants.logged.values()) {
    if (told.has(token)) continue
    ghosts++
    if (ended === null) found(() => fail(`I5: ${lock} (${token}) was granted to nobody, and never ended`))
  }
  return { grants, ghosts }
}

/** I4, I9: two beliefs at one time; and a belief in what has expired. Replayed in the order of real time. */
export function judgeBeliefs(evidence: Evidence, lines: readonly Line[], found: Found): number {
  const { recorded, deaths, histories, instance } = evidence
  const beliefs = new Beliefs()
  let nowMs = 0
  const until = new Map<string, number>()
  const overMs = endsOf(histories)
  const limits = new Map<string, number>()
  const dead = new Set<string>()
  const begin = (line: Extract<Line, { e: 'grant' }>) => {
    const { lock, token, by } = line
    const key = `${by} ${token}`
    if (line.limit !== null) limits.set(key, line.limit)
    const isBelieved = () =>
      nowMs < (until.get(by) ?? 0) &&
      nowMs < (limits.get(key) ?? Number.POSITIVE_INFINITY) &&
      nowMs < (overMs.get(line) ?? Number.POSITIVE_INFINITY) &&
      !dead.has(by.slice(0, by.indexOf('.')))
    found(() => beliefs.begins({ client: by, lock, token, mode: line.mode, slots: line.slots, isBelieved }))
  }
  const happenings: { t: number; happens(): void }[] = lines.map(line => ({
    t: line.t,
    happens() {
      if (line.e === 'until') until.set(line.by, line.until)
      else if (line.e === 'grant') begin(line)
      else if (line.e === 'limit') limits.set(`${line.by} ${line.token}`, line.until)
    },
  }))
  for (const { by, t } of deaths) happenings.push({ t, happens: () => void dead.add(by) })
  for (const { written, atMs } of recorded) {
    const { entry } = written
    if (written.instance !== instance || entry.record !== 'grant' || entry.value !== null) continue
    const ended = { lock: entry.lock, token: entry.token, how: entry.type }
    happenings.push({ t: atMs, happens: () => found(() => beliefs.ended(ended)) })
  }
  for (const { t, happens } of happenings.sort((one, other) => one.t - other.t)) {
    nowMs = t
    happens()
  }
  return beliefs.begun
}

/** When each belief ended, by its own history: a coarse clock may tell the end of a short one before its beginning. */
function endsOf(histories: Evidence['histories']): Map<Line, number> {
  const ends = new Map<Line, number>()
  for (const lines of histories) {
    const begun = new Map<string, Line>()
    for (const line of lines) {
      if (line.e !== 'grant' && line.e !== 'over') continue
      const key = `${line.by} ${line.token}`
      const former = begun.get(key)
      if (line.e === 'grant') begun.set(key, line)
      else if (former) ends.set(former, line.t)
    }
  }
  return ends
}

/** I3: what the resource took and refused is what it should have, by the log. */
function judgeResource({ attempts }: Evidence, grants: Grants, found: Found): void {
  for (const { lock, token, ok } of attempts)
    found(() => {
      if (grants.write({ lock, token }) !== ok)
        fail(`I3: ${lock} ${ok ? 'took' : 'refused'} a write under ${token}, and should not have`)
    })
}

/** I12: one lock at a time. */
function judgeLinear({ recorded, instance }: Evidence, lines: readonly Line[], found: Found) {
  const operations = new Map<number, { lock: string; operation: Operation }>()
  for (const line of lines) {
    const pending = { calledMs: line.t, returnedMs: Number.POSITIVE_INFINITY, isOptional: true }
    if (line.e === 'call') operations.set(line.n, { lock: line.lock, operation: { deed: line.deed, ...pending } })
    const known = line.e === 'return' ? operations.get(line.n)?.operation : undefined
    if (line.e !== 'return' || !known) continue
    const isVoid = line.deed.does === 'nothing'
    Object.assign(known, { deed: line.deed }, isVoid ? {} : { returnedMs: line.t, isOptional: false })
  }
  const histories = new Histories()
  for (const { lock, operation } of operations.values()) histories.of(lock, instance).push(operation)
  // Tokens rise, so nothing was before the call of one that was told a token before it.
  const calls = callsOf(operations.values())
  let fromMs = Number.NEGATIVE_INFINITY
  for (const { written, byMs } of recorded) {
    const { entry } = written
    if (written.instance !== instance) continue
    if (entry.record === 'grant' && entry.type === 'granted')
      fromMs = Math.max(fromMs, calls.get(entry.token) ?? fromMs)
    histories.wrote(written, { fromMs, toMs: byMs })
  }
  histories.judge(found)
  const acquires = [...operations.values()].flatMap(({ operation }) =>
    operation.deed.does === 'acquire' && !operation.isOptional ? [operation] : [],
  )
  return { ...histories.counts, acquires }
}

/** By token: when it was asked for. */
function callsOf(operations: Iterable<{ operation: Operation }>): Map<number, number> {
  const calls = new Map<number, number>()
  for (const { operation } of operations) {
    const token = tokenOf(operation.deed)
    if (token !== null && !operation.isOptional) calls.set(token, operation.calledMs)
  }
  return calls
}

/** I13: what watchers read is what happened, in order and whole; and they read it to the end. */
function judgeWatchers({ recorded, cleanings, histories, instance }: Evidence, found: Found): number {
  const events = new Events()
  for (const { written } of recorded) events.wrote(written)
  const shard = recorded.find(({ written }) => written.instance === instance)?.written.shard
  const ofShard = cleanings.filter(one => one.shard === shard)
  // The record is told of a cleaning after it was made.
  const keptFrom = (t: number) => ofShard.findLast(({ atMs }) => atMs < t + WATCH_MS)?.keptFrom ?? 0
  const seenOf = ({ t, item }: { t: number; item: Item }): Seen =>
    'reset' in item ? { ...item, keptFrom: keptFrom(t) } : item
  let watched = 0
  for (const lines of histories) {
    const seen = lines.flatMap(line => (line.e === 'seen' ? [seenOf(line)] : []))
    if (seen.length === 0 && !lines.some(({ e }) => e === 'watches')) continue
    found(() => {
      watched += events.compare(instance, seen, { isAtRest: false })
    })
    const leftMs = lines.find(line => line.e === 'left')?.t
    if (leftMs === undefined) continue
    const lastSeq = seqOf(seen.at(-1))
    const due = recorded.filter(
      ({ written, atMs }) => written.instance === instance && atMs < leftMs - WATCH_MS && isReadable(written),
    )
    const dueSeq = due.at(-1)?.written.batch.seq ?? 0
    if (lastSeq < dueSeq) found(() => fail(`I13: a watcher has read up to ${lastSeq}, and ${dueSeq} was long written`))
  }
  return watched
}

function isReadable({ entry }: Written): boolean {
  return entry.record === 'grant' && (entry.type === 'granted' || entry.value === null)
}

function seqOf(seen: Seen | undefined): number {
  if (!seen) return 0
  const id = 'reset' in seen ? seen.reset : seen.id
  return Number(id.split('-').at(-2))
}

/** I9: nobody is ended before the promise is over; how long after is for who knows what was done meanwhile. */
function judgeExpiries({ recorded }: Evidence, lines: readonly Line[], found: Found): Expiry[] {
  const expired = new Map<number, number>()
  for (const { written, atMs } of recorded)
    if (written.entry.record === 'grant' && written.entry.type === 'expired') expired.set(written.entry.token, atMs)
  const grants = new Map(
    recorded.flatMap(({ written: { entry }, atMs }) =>
      entry.record === 'grant' && entry.type === 'granted' ? [[entry.token, atMs]] : [],
    ),
  )
  const expiries: Expiry[] = []
  for (const line of lines) {
    if (line.e !== 'idle') continue
    const atMs = expired.get(line.token)
    if (atMs === undefined) continue
    // The commit was before it was recorded, so what is too early here was.
    if (atMs < line.t + line.ttlMs / RATE_MAX)
      found(() => fail(`I9: ${line.lock} expired ${Math.round(line.t + line.ttlMs - atMs)} ms too early`))
    if ((grants.get(line.token) ?? Number.POSITIVE_INFINITY) < line.t + PROMPT_MS)
      expiries.push({ fromMs: line.t, ttlMs: line.ttlMs, atMs, lateMs: atMs - line.t - line.ttlMs })
  }
  return expiries
}

/** Each process tells its own again and again: the last is the sum. */
export function countsOf(histories: Evidence['histories']): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const lines of histories) {
    const last = lines.findLast(line => line.e === 'counts')
    for (const [what, count] of Object.entries(last?.counts ?? {})) sums[what] = (sums[what] ?? 0) + count
  }
  return sums
}

function fail(what: string): never {
  throw new Violation(what)
}
