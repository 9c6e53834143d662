/** What `holdfast keys` may do to the store of a server, running or not: with the server's own settings, and beside it. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { systemClock } from './clock.ts'
import { type Config, readConfig } from './config/config.ts'
import { ConfigError } from './config/values.ts'
import type { Engine } from './engine/engine.ts'
import { openLmdb } from './engine/lmdb/lmdb.ts'
import { KeyUnavailable, SealMismatch } from './engine/sealed/failures.ts'
import { keyPlacesUnder } from './engine/sealed/key-records.ts'
import { type KeySourceConfig, keySourceOf } from './engine/sealed/key-source.ts'
import { type KeyStatus, reencrypt, rewrap, statusOf } from './engine/sealed/rotation.ts'
import { openSealed, type SealedEngine } from './engine/sealed/sealed.ts'
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

/** `args` are settings of the server, as `serve` takes them. @throws KeysFailure */
export async function withKeys<Result>(
  sources: { args: readonly string[]; env: Record<string, string | undefined> },
  act: (keys: StoreKeys) => Promise<Result>,
): Promise<Result> {
  try {
    const config = readConfig(sources)
    const store = await openStore(config)
    try {
      return await act(keysOf(store, config))
    } finally {
      await store.close()
    }
  } catch (error) {
    const isForPeople = error instanceof ConfigError || error instanceof KeyUnavailable || error instanceof SealMismatch
    throw isForPeople ? new KeysFailure(error.message, { cause: error }) : error
  }
}

function keysOf(store: SealedEngine, config: Config): StoreKeys {
  const { root } = config
  const surroundings = { clock: systemClock, random: systemRandom }
  return {
    status: () => statusOf(store, root),
    async rotate() {
      await store.keyring.rotate()
      return store.keyring.current.id
    },
    rewrap: to =>
      rewrap(store.keyring, store, {
        from: keySourceOf(encryptionOf(config), surroundings),
        to: keySourceOf(to, surroundings),
        clock: systemClock,
      }),
    reencrypt: options => reencrypt({ ...options, store, root, resealing: resealingUnder(root), clock: systemClock }),
  }
}

async function openStore(config: Config): Promise<SealedEngine> {
  const { root } = config
  const encryption = encryptionOf(config)
  const engine = await openEngine(config)
  try {
    if (!(await engine.read(keyPlacesUnder(root).current)))
      throw new KeysFailure(`There is no encrypted store of Holdfast under ${root}/.`)
    const surroundings = { clock: systemClock, random: systemRandom }
    const source = keySourceOf(encryption, surroundings)
    return await openSealed(engine, { ...surroundings, root, meta: keysUnder(root).meta, source })
  } catch (error) {
    await engine.close()
    throw error
  }
}

function encryptionOf({ encryption }: Config): KeySourceConfig {
  if (encryption) return encryption
  throw new KeysFailure(
    'Say where the key-encryption key is, as the server is told: --encryption-key-file, --encryption-key-command or --encryption-kms-command.',
  )
}

async function openEngine(config: Config): Promise<Engine> {
  if (config.engine === 'memory') throw new KeysFailure('What a server keeps in memory is its own; use lmdb or etcd.')
  if (config.etcd) {
    const { openEtcd } = await import('./engine/etcd/etcd.ts')
    return openEtcd({ ...config.etcd, clock: systemClock })
  }
  const path = join(resolve(config.dataDirectory), 'store')
  if (!existsSync(path)) throw new KeysFailure(`There is no store in ${resolve(config.dataDirectory)}.`)
  return openLmdb({ path })
}
