/** What `holdfast keys` may do to the store of a server, running or not: with the server's own settings, and beside it. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Clock, instant, most, pause, systemClock } from './clock.ts'
import { type Config, readConfig } from './config/config.ts'
import { ConfigError } from './config/values.ts'
import type { Engine } from './engine/engine.ts'
import { openLmdb } from './engine/lmdb/lmdb.ts'
import { KeyUnavailable, SealMismatch } from './engine/sealed/failures.ts'
import { keyPlacesUnder } from './engine/sealed/key-records.ts'
import { eitherOf, type KeySource, type KeySourceConfig, keySourceOf } from './engine/sealed/key-source.ts'
import { type KeyStatus, reencrypt, rewrap, statusOf } from './engine/sealed/rotation.ts'
import { openSealed, type SealedEngine } from './engine/sealed/sealed.ts'
import { GuestCutOff, openGuest } from './engine/served/guest.ts'
import { StoreInUse } from './process-lock/holder.ts'
import { systemRandom } from './random.ts'
import { keysUnder, resealingUnder } from './shards/keys.ts'

export type { KeySourceConfig, KeyStatus }

/** It cannot be done, and nothing was changed; the message is for people. */
export class KeysFailure extends Error {
  override readonly name = 'KeysFailure'
}

/** The keys of one store, as long as `withKeys` runs. */
export type StoreKeys = {
  status(): Promise<KeyStatus[]>
  /** Returns the id of the new data key. */
  rotate(): Promise<string>
  /** How many data keys are now wrapped by the other key-encryption key. */
  rewrap(to: KeySourceConfig): Promise<number>
  /** `left`: records that their holders have not sealed anew within `waitMs`; then nothing was dropped. */
  reencrypt(options: {
    valuesPerSecond: number
    waitMs: number
    signal: AbortSignal
    progress(done: { resealed: number; left: number }): void
  }): Promise<{ resealed: number; dropped: string[]; left: string[] }>
}

/** A server that starts has the store before it serves it, and one that stops no longer serves it while it still has it. */
const HELD_MS_MAX = 5_000
const AGAIN_MS = 100

type Opened<Store> = { store: Store; isAlone: boolean }

/** `args` are settings of the server, as `serve` takes them. @throws KeysFailure */
export async function withKeys<Result>(
  sources: { args: readonly string[]; env: Record<string, string | undefined> },
  act: (keys: StoreKeys) => Promise<Result>,
  clock: Clock = systemClock,
): Promise<Result> {
  try {
    const config = readConfig(sources)
    const source = keySourceOf(encryptionOf(config), { clock, random: systemRandom })
    const { store: engine, isAlone } = await openEngine(config, clock)
    const sealed = new SealedStores(engine, { root: config.root, clock })
    try {
      if (!(await engine.read(keyPlacesUnder(config.root).current)))
        throw new KeysFailure(`There is no encrypted store of Holdfast under ${config.root}/.`)
      return await act(keysOf(sealed, { source, isAlone, root: config.root, clock }))
    } finally {
      await sealed.close()
    }
  } catch (error) {
    const isForPeople = error instanceof ConfigError || error instanceof KeyUnavailable || error instanceof SealMismatch
    throw isForPeople || error instanceof GuestCutOff ? new KeysFailure(error.message, { cause: error }) : error
  }
}

/** One store, opened when it is known with which source. */
class SealedStores {
  readonly #engine: Engine
  readonly #options: { root: string; clock: Clock }
  readonly #opened = new Map<KeySource, SealedEngine>()

  constructor(engine: Engine, options: { root: string; clock: Clock }) {
    this.#engine = engine
    this.#options = options
  }

  /** @throws KeyUnavailable, SealMismatch */
  async open(source: KeySource): Promise<SealedEngine> {
    const { root, clock } = this.#options
    const known = this.#opened.get(source)
    if (known) return known
    const settings = { clock, random: systemRandom, root, meta: keysUnder(root).meta, source }
    const store = await openSealed(this.#engine, settings)
    this.#opened.set(source, store)
    return store
  }

  async close(): Promise<void> {
    for (const { keyring } of this.#opened.values()) keyring.close()
    await this.#engine.close()
  }
}

type Opening = { source: KeySource; isAlone: boolean; root: string; clock: Clock }

function keysOf(sealed: SealedStores, { source, isAlone, root, clock }: Opening): StoreKeys {
  return {
    status: async () => statusOf(await sealed.open(source), root),
    async rotate() {
      const { keyring } = await sealed.open(source)
      await keyring.rotate()
      return keyring.current.id
    },
    async rewrap(other) {
      const to = keySourceOf(other, { clock, random: systemRandom })
      // One that ended in between has left data keys of both.
      const store = await sealed.open(eitherOf({ from: source, to }))
      return rewrap(store.keyring, store, { from: source, to, clock })
    },
    reencrypt: async ({ waitMs, ...options }) =>
      reencrypt({
        ...options,
        // As long as this process has the store to itself no server can start that it would be worth waiting for.
        waitMs: isAlone ? 0 : waitMs,
        store: await sealed.open(source),
        root,
        resealing: resealingUnder(root),
        clock,
      }),
  }
}

function encryptionOf({ encryption }: Config): KeySourceConfig {
  if (encryption) return encryption
  throw new KeysFailure(
    'Say where the key-encryption key is, as the server is told: --encryption-key-file, --encryption-key-command or --encryption-kms-command.',
  )
}

async function openEngine(config: Config, clock: Clock): Promise<Opened<Engine>> {
  if (config.engine === 'memory') throw new KeysFailure('What a server keeps in memory is its own; use lmdb or etcd.')
  if (config.etcd) {
    const { openEtcd } = await import('./engine/etcd/etcd.ts')
    return { store: await openEtcd({ ...config.etcd, clock }), isAlone: false }
  }
  const path = join(resolve(config.dataDirectory), 'store')
  if (!existsSync(path)) throw new KeysFailure(`There is no store in ${resolve(config.dataDirectory)}.`)
  return openEmbedded(path, clock)
}

/** The store itself when nobody has it; else what the process that has it serves. */
async function openEmbedded(path: string, clock: Clock): Promise<Opened<Engine>> {
  for (const began = instant(clock); ; await pause(clock, AGAIN_MS)) {
    const held = await heldOr(async () => ({ store: await openLmdb({ path }), isAlone: true }))
    if (!(held instanceof StoreInUse)) return held
    let trouble: unknown = 'it does not say where it serves it'
    try {
      if (held.socket !== null) return { store: await openGuest(held.socket, clock), isAlone: false }
    } catch (error) {
      // It may have ended, and another may have the store by now: look again.
      trouble = error
    }
    if (most(clock, began) < HELD_MS_MAX) continue
    const why = trouble instanceof Error ? trouble.message : trouble
    throw new KeysFailure(
      `Another process has the store in ${path}, and cannot be asked for it: ${why}. If it is no server, do it again when that has ended.`,
      { cause: held },
    )
  }
}

async function heldOr<Result>(open: () => Promise<Result>): Promise<Result | StoreInUse> {
  try {
    return await open()
  } catch (error) {
    if (error instanceof StoreInUse) return error
    throw error
  }
}
