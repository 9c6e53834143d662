/**
 * Where the root key comes from. Preset, it is what was said. An embedded server makes one, and from then on its file says what it is. Over etcd it is derived
 * from the cluster's own key, so that all servers have the same (decision 0016), and the file only shows it: whoever changes the file there changes nothing, and
 * a key that was to be put away would stay good. So a server that meets another key in its file says so instead of overwriting it (decision 0144).
 */
import { existsSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { readOrCreateKey, writeKey } from '../auth/key-file.ts'
import { rootKeyOf } from '../auth/secrets.ts'
import { type Config, ConfigError } from '../config/config.ts'
import type { Random } from '../random.ts'
import type { LastUse } from './remembered-store.ts'

/** A file that holds anything else is what a power cut has left. */
const KEY = /^[\x20-\x7e]{16,}$/

type KeyOptions = { directory: string; random: Random; clusterKey: string }

/** `path`: null when it was preset. */
export function openRootKey(
  { rootKey, engine }: Pick<Config, 'rootKey' | 'engine'>,
  { directory, random, clusterKey }: KeyOptions,
): { key: string; path: string | null } {
  if (rootKey !== null) return { key: rootKey, path: null }
  const path = pathIn(directory)
  if (engine !== 'etcd') return { key: readOrCreateKey(path, random), path }
  const key = rootKeyOf(clusterKey)
  writeKey(path, key)
  return { key, path }
}

type Settling = {
  directory: string
  clusterKey: string
  lastUse: LastUse
  told(what: string): void
}

/**
 * Over etcd, where no key is preset, before it is written. A folder that was used for something else before has that one's key in it, which nobody has
 * changed: it is kept beside. @throws ConfigError when somebody has put a key there.
 */
export function settleRootKeyFile({ directory, clusterKey, lastUse, told }: Settling): void {
  const path = pathIn(directory)
  const found = existsSync(path) ? readFileSync(path, 'utf8').trim() : ''
  if (!KEY.test(found) || found === rootKeyOf(clusterKey)) return
  // Of an embedded store, before this server was told of etcd.
  const wasEmbedded = lastUse === 'none' && existsSync(join(directory, 'store'))
  if (lastUse !== 'another' && !wasEmbedded)
    throw new ConfigError(
      `\`root_key\`: ${path} holds another key than this cluster's, and over etcd the file does not set it: the key of before would stay good. To change the key, preset it by HOLDFAST_ROOT_KEY on every server of the cluster; to keep the one that the cluster has, remove the file.`,
    )
  const kept = `${path}.old`
  renameSync(path, kept)
  told(`This data folder had the root key of another store: it is kept in ${kept}, and is none of this cluster.`)
}

function pathIn(directory: string): string {
  return join(directory, 'root.key')
}
