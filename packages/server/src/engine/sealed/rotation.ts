/**
 * What an operator does to the keys of a sealed store, while servers use it: looks, makes a new data key, seals everything old anew under it, and wraps
 * the data keys under another key-encryption key.
 *
 * Sealing anew is a compare-and-swap like any other write, so a record that has changed meanwhile stays as it was written. But it changes the
 * record's revision, and some records are held by that: a server that owns a shard checks the revision of its owner record and of its newest batch in each
 * append, and its member record in each beat. These are left to those who hold them: servers seal them anew by themselves when the data key changes. So
 * re-encryption comes round until nothing is left under an old key, and only then, in a commit that checks that no other rotation has come
 * between, the old keys go. Whatever was sealed under them and is still on its way to the store can no longer be committed.
 */
import { timingSafeEqual } from 'node:crypto'
import { type Clock, instant, most, pause } from '../../clock.ts'
import { commitKnown } from '../commit.ts'
import type { Engine, KeyValue } from '../engine.ts'
import { dataKeyOf } from './envelope.ts'
import { KeyUnavailable } from './failures.ts'
import { encodeKeyRecord, SEAL_FORMAT } from './key-records.ts'
import { type KeySource, KMS, type Wrapped } from './key-source.ts'
import { contextOf, type Keyring } from './keyring.ts'
import type { SealedEngine } from './sealed.ts'

/** Who may seal the record at this key anew. `last`: everybody, unless it is the last one under this prefix. */
export type Resealing = (key: string) => 'anybody' | 'holder' | { last: string }

export type KeyStatus = {
  id: string
  isCurrent: boolean
  createdAt: number
  wrappedBy: string
  allotted: number
  values: number
}

export type Reencrypting = {
  store: SealedEngine
  root: string
  resealing: Resealing
  clock: Clock
  signal: AbortSignal
  /** How long the holders of records get to seal them anew. */
  waitMs: number
  valuesPerSecond: number
  progress(done: { resealed: number; left: number }): void
}

/** A page is read and sealed anew before the next: more would only be older when its turn comes. */
const PAGE_PAIRS = 200
/** Of one commit. With a check each they stay below what a commit may have, and a shard waits only so long for its turn. */
const PIECE_PAIRS = 32
const PIECE_BYTES = 256 * 1024
/** Beats come twice a second, and servers look at the keys every second. */
const ROUND_MS = 500
/** A server that has only just taken a shard has not heard of the rotation before it. */
const ROUNDS_PER_REMINDER = 20
/** Servers change the record of a data key once in minutes of work: so many times in a row is no accident. */
const REWRAPPING_ROUNDS_MAX = 100

/** What each data key seals; reads the whole store. */
export async function statusOf(store: SealedEngine, root: string): Promise<KeyStatus[]> {
  const values = new Map<string, number>()
  for await (const pairs of pagesOf(store.inner, root)) {
    for (const { key, value } of pairs) {
      const id = dataKeyOf(value)
      if (!key.startsWith(store.keyring.places.prefix) && id) values.set(id, (values.get(id) ?? 0) + 1)
    }
  }
  const keys = await store.keyring.list()
  return keys.map(({ id, createdAt, wrapped, allotted }) => ({
    id,
    isCurrent: id === store.keyring.current.id,
    createdAt,
    wrappedBy: wrapped.by,
    allotted,
    values: values.get(id) ?? 0,
  }))
}

/** Resolves with the keys that were dropped; `left` when holders have not come to seal theirs: then nothing was dropped. */
export async function reencrypt(
  options: Reencrypting,
): Promise<{ resealed: number; dropped: string[]; left: string[] }> {
  const { store, clock, signal, waitMs } = options
  const began = instant(clock)
  let resealed = 0
  for (let round = 0; ; round++) {
    if (round % ROUNDS_PER_REMINDER === 0) await store.keyring.remind()
    else await store.keyring.refresh()
    const { id, fence } = store.keyring.current
    const done = await roundOf(options, id)
    resealed += done.resealed
    options.progress({ resealed, left: done.left.length })
    signal.throwIfAborted()
    if (done.left.length === 0 && done.resealed === 0) {
      const dropped = await dropOthers(store, { id, fence, clock })
      if (dropped) return { resealed, dropped, left: [] }
    } else if (done.left.length > 0 && done.resealed === 0 && most(clock, began) > waitMs) {
      return { resealed, dropped: [], left: done.left }
    }
    await pause(clock, ROUND_MS)
  }
}

/**
 * Wraps all data keys by another source; the store then opens with that one only. Each key is a commit of its own, so when this ends in between some
 * are wrapped by the one source and some by the other: done again, it goes on from there, through a keyring that opens with either (`eitherOf`).
 */
export async function rewrap(keyring: Keyring, store: SealedEngine, options: Rewrapping): Promise<number> {
  const wrapped = new Set<string>()
  for (let round = 0; round < REWRAPPING_ROUNDS_MAX; round++) {
    let isLeft = false
    for (const { id, modRevision, ...record } of await keyring.list()) {
      if (wrapped.has(record.wrapped.text)) continue
      const anew = await wrappedAnew(record.wrapped, contextOf(id), options)
      if (!anew) continue
      // The key may have been changed meanwhile: what was found in this round is looked at again in the next.
      isLeft = true
      const value = encodeKeyRecord({ ...record, wrapped: anew })
      const key = keyring.places.key(id)
      const known = await commitKnown({
        engine: store.inner,
        clock: options.clock,
        checks: [{ key, modRevision }],
        writes: [{ key, value }],
        passedAt: found => (found[0] && Buffer.compare(found[0].value, value) === 0 ? found[0].modRevision : null),
        onUnknown: () => undefined,
      })
      if (known.ok) wrapped.add(anew.text)
    }
    // A server that has not heard of it may have made another key under the former source.
    if (!isLeft) return wrapped.size
  }
  throw new Error('The data keys are changed all the time. Do it again.')
}

/** Null: it is wrapped by `to` as it is. @throws KeyUnavailable when neither unwraps it, or each makes something else of it */
async function wrappedAnew(wrapped: Wrapped, context: string, { from, to }: Rewrapping): Promise<Wrapped | null> {
  const [former, own] = [await unwrapped(from, wrapped, context), await unwrapped(to, wrapped, context)]
  const secret = former.secret ?? own.secret
  if (!secret) throw former.error
  try {
    if (own.secret && !timingSafeEqual(secret, own.secret))
      throw new KeyUnavailable('The two key-encryption keys unwrap one data key differently: one of them is wrong.')
    // What a KMS opens may still be wrapped by another key of it; to wrap it once more does no harm.
    return own.secret && wrapped.by !== KMS ? null : await to.wrap(secret, context)
  } finally {
    former.secret?.fill(0)
    own.secret?.fill(0)
  }
}

type Unwrapped = { secret: Buffer; error: null } | { secret: null; error: KeyUnavailable }

async function unwrapped(source: KeySource, wrapped: Wrapped, context: string): Promise<Unwrapped> {
  try {
    return { secret: await source.unwrap(wrapped, context), error: null }
  } catch (error) {
    if (error instanceof KeyUnavailable) return { secret: null, error }
    throw error
  }
}

export type Rewrapping = { from: KeySource; to: KeySource; clock: Clock }

async function roundOf(options: Reencrypting, id: string): Promise<{ resealed: number; left: string[] }> {
  const { store, root, resealing, clock, valuesPerSecond, signal } = options
  const left: string[] = []
  let resealed = 0
  /** Old, and the last one seen under its prefix so far. */
  let last: { pair: KeyValue; prefix: string } | null = null
  for await (const pairs of pagesOf(store.inner, root)) {
    const old: KeyValue[] = []
    for (const pair of pairs) {
      if (last && pair.key.startsWith(last.prefix)) old.push(last.pair)
      else if (last) left.push(last.pair.key)
      last = null
      const isOld = !pair.key.startsWith(store.keyring.places.prefix) && dataKeyOf(pair.value) !== id
      if (!isOld) continue
      const who = resealing(pair.key)
      if (who === 'anybody') old.push(pair)
      else if (who === 'holder') left.push(pair.key)
      else last = { pair, prefix: who.last }
    }
    for (const piece of piecesOf(old)) {
      signal.throwIfAborted()
      resealed += await reseal(store, piece)
      await pause(clock, (piece.length * 1_000) / valuesPerSecond)
    }
  }
  if (last) left.push(last.pair.key)
  return { resealed, left }
}

/** Returns how many it has sealed anew. What has changed meanwhile, or did not answer, is looked at in the next round. */
async function reseal(store: SealedEngine, pairs: KeyValue[]): Promise<number> {
  const opened: KeyValue[] = []
  for (const pair of pairs) opened.push(await store.open(pair))
  const commit = (some: KeyValue[]) =>
    store.commit({
      checks: some.map(({ key, modRevision }) => ({ key, modRevision })),
      writes: some.map(({ key, value }) => ({ key, value })),
    })
  if ((await commit(opened)).ok) return opened.length
  let resealed = 0
  for (const pair of opened) if ((await commit([pair])).ok) resealed++
  return resealed
}

/** Null when another rotation has come between. */
async function dropOthers(
  store: SealedEngine,
  { id, fence, clock }: { id: string; fence: number; clock: Clock },
): Promise<string[] | null> {
  const { places } = store.keyring
  const others = (await store.keyring.list()).map(key => key.id).filter(other => other !== id)
  if (others.length === 0) return store.keyring.current.fence === fence ? [] : null
  const known = await commitKnown({
    engine: store.inner,
    clock,
    checks: [{ key: places.current, modRevision: fence }],
    // Written anew, so that all servers look again and forget what was dropped.
    writes: [
      { key: places.current, value: encodeKeyRecord({ format: SEAL_FORMAT, current: id }) },
      ...others.slice(0, PIECE_PAIRS).map(other => ({ key: places.key(other), delete: true as const })),
    ],
    passedAt: () => null,
    onUnknown: () => undefined,
  })
  if (!known.ok || others.length > PIECE_PAIRS) return null
  await store.keyring.refresh()
  return others
}

function* piecesOf(pairs: KeyValue[]): Generator<KeyValue[]> {
  let piece: KeyValue[] = []
  let bytes = 0
  for (const pair of pairs) {
    if (piece.length === PIECE_PAIRS || (piece.length > 0 && bytes + pair.value.byteLength > PIECE_BYTES)) {
      yield piece
      piece = []
      bytes = 0
    }
    piece.push(pair)
    bytes += pair.value.byteLength
  }
  if (piece.length > 0) yield piece
}

async function* pagesOf(engine: Engine, root: string): AsyncGenerator<KeyValue[]> {
  for (let after: string | null = null; ; ) {
    const options = { prefix: `${root}/`, limit: PAGE_PAIRS }
    const page = await engine.list(after === null ? options : { ...options, after })
    yield page.pairs
    if (!page.more) return
    after = page.pairs.at(-1)?.key ?? after
  }
}
