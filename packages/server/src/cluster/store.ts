/** What Holdfast's servers have written into the store: who lives, and who decides for what. Looked at, never changed. */
import { type Clock, pause } from '../clock.ts'
import type { Engine } from '../engine/engine.ts'
import { type EtcdEngine, openEtcd } from '../engine/etcd/etcd.ts'
import { KeyUnavailable, SealMismatch } from '../engine/sealed/failures.ts'
import { keySourceOf } from '../engine/sealed/key-source.ts'
import { openSealed } from '../engine/sealed/sealed.ts'
import type { Random } from '../random.ts'
import { type Keys, keysUnder } from '../shards/keys.ts'
import { BEAT_MS, decodeMember, type MemberRecord } from '../shards/membership.ts'
import { decodeMeta } from '../shards/meta.ts'
import { decodeOwner } from '../shards/ownership.ts'
import type { ClusterDirectory } from './directory.ts'
import { ClusterFailure } from './failure.ts'
import type { Picture } from './picture.ts'

export type ServerPicture = MemberRecord & {
  /** It has shown its pulse between two looks; else it has died, and nobody was there to notice. */
  isBeating: boolean
}
export type ShardPicture = { shard: number; server: string | null; epoch: number }
export type StorePicture = { clusterId: string; format: number; servers: ServerPicture[]; shards: ShardPicture[] }

const SERVERS_MAX = 10_000
/** A beat comes in it, even a slow one. */
const PULSE_MS = BEAT_MS * 2

/** Of the members that answer. Closed by whoever opens it. */
export function openStore(directory: ClusterDirectory, picture: Picture, clock: Clock): Promise<EtcdEngine> {
  const urls = picture.members.flatMap(({ url, trouble }) => (url !== null && trouble === null ? [url] : []))
  return openEtcd({ urls, clock, tls: directory.tls, quotaBytes: directory.plan().quotaBytes, takesAnyVersion: true })
}

/**
 * The store as Holdfast's servers use it: unsealed, if they encrypt and the key was named. Closing it closes what is below.
 * @throws ClusterFailure when the key is not to be had, or not the right one.
 */
export async function openRecords(engine: Engine, options: Opening): Promise<Engine> {
  const { directory, root, clock, random } = options
  const { encryption } = directory
  const keys = keysUnder(root)
  // To look must not begin a store.
  if (!encryption || !(await engine.read(keys.meta))) return engine
  try {
    const source = keySourceOf(encryption, { clock, random })
    return await openSealed(engine, { root, meta: keys.meta, source, clock, random })
  } catch (error) {
    await engine.close()
    const isForPeople = error instanceof KeyUnavailable || error instanceof SealMismatch
    throw isForPeople ? new ClusterFailure(error.message, { cause: error }) : error
  }
}

type Opening = { directory: ClusterDirectory; root: string; clock: Clock; random: Random }

/** null: no Holdfast server has ever used it. */
export async function readStore(
  engine: Engine,
  { root, clock }: { root: string; clock: Clock },
): Promise<StorePicture | null> {
  const keys = keysUnder(root)
  const pair = await engine.read(keys.meta)
  if (!pair) return null
  const { clusterId, format, shards: count } = decodeMeta(pair.value)
  const before = await engine.list({ prefix: keys.members, limit: SERVERS_MAX })
  if (before.pairs.length > 0) await pause(clock, PULSE_MS)
  const now = await engine.list({ prefix: keys.members, limit: SERVERS_MAX })
  const former = new Map(before.pairs.map(({ key, modRevision }) => [key, modRevision]))
  const servers = now.pairs.map(({ key, value, modRevision }) => ({
    ...decodeMember(value),
    isBeating: former.get(key) !== modRevision,
  }))
  const shards = await Promise.all(Array.from({ length: count }, (_, shard) => readShard(engine, keys, shard)))
  return { clusterId, format, servers, shards }
}

/** Whether a server may be using it now. */
export async function hasServers(engine: Engine, root: string): Promise<boolean> {
  return (await engine.list({ prefix: keysUnder(root).members, limit: 1 })).pairs.length > 0
}

async function readShard(engine: Engine, keys: Keys, shard: number): Promise<ShardPicture> {
  const pair = await engine.read(keys.owner(shard))
  const owner = pair && decodeOwner(pair)
  return { shard, server: owner?.server || null, epoch: owner?.epoch ?? 0 }
}
