/** The programs of etcd: where they are, and what they are. */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, dirname, join, resolve } from 'node:path'
import { judgeVersion } from '../engine/etcd/version.ts'
import { ClusterFailure } from './failure.ts'

export type Program = { path: string; version: string }

const ASK_MS_MAX = 10_000

/** The `etcd` that is named, or the one on PATH. @throws ClusterFailure when it is missing or too old. */
export function findEtcd(named: string | undefined): Program {
  const path = named === undefined ? onPath('etcd') : resolve(named)
  if (path === null || !existsSync(path)) {
    const what = named === undefined ? 'There is no `etcd` on PATH' : `There is no ${path}`
    throw new ClusterFailure(
      `${what}. Install etcd 3.5 or newer (on Debian and Ubuntu: the package etcd-server), or say where it is with --etcd PATH.`,
    )
  }
  const version = versionOf(path, ['--version'])
  const { refusal } = judgeVersion(version)
  if (refusal) throw new ClusterFailure(`${path} cannot be used: ${refusal}.`)
  return { path, version }
}

/** `etcdutl`, beside that etcd or on PATH: it makes data directories from backups. @throws ClusterFailure */
export function findEtcdutl(etcd: string): Program {
  const beside = join(dirname(etcd), 'etcdutl')
  const path = existsSync(beside) ? beside : onPath('etcdutl')
  if (path === null) throw new ClusterFailure(`There is no \`etcdutl\` beside ${etcd} or on PATH; it comes with etcd.`)
  return { path, version: versionOf(path, ['version']) }
}

/** `3.5.16` → [3, 5, 16]. */
export function numbersOf(version: string): [major: number, minor: number, patch: number] {
  const [major = 0, minor = 0, patch = 0] = (/\d+\.\d+\.\d+/.exec(version)?.[0] ?? '').split('.').map(Number)
  return [major, minor, patch]
}

function versionOf(path: string, args: string[]): string {
  const { stdout, error } = spawnSync(path, args, { encoding: 'utf8', timeout: ASK_MS_MAX })
  const version = /(?:etcd Version|etcdutl version): (\d+\.\d+\.\d+\S*)/.exec(stdout ?? '')?.[1]
  if (version) return version
  throw new ClusterFailure(`${path} does not say its version${error ? `: ${error.message}` : ''}.`)
}

function onPath(name: string): string | null {
  for (const folder of (process.env.PATH ?? '').split(delimiter).filter(part => part !== '')) {
    const path = join(folder, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not here.
    }
  }
  return null
}
