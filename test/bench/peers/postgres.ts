/** PostgreSQL's advisory locks: `pg_advisory_lock`, held by a connection, in the memory of the server. */
import { spawnSync } from 'node:child_process'
import { chownSync, globSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { debian } from '../../harness/debian.ts'
import { start } from '../../harness/process.ts'
import { familyOf, type Peer } from './peer.ts'

/** A backend is a process: more would be more of them, not more speed. Those in flight beyond this wait for a connection. */
const CONNECTIONS_MAX = 256
/** Of the server, beside ours. */
const CONNECTIONS_SPARE = 10
/** The user that root becomes, for PostgreSQL refuses to be root. */
const NOBODY = 65_534
const READY_TRIES_MAX = 100
const READY_LOOK_MS = 100

const ACQUIRE = { name: 'acquire', text: 'select pg_advisory_lock($1)' }
const RELEASE = { name: 'release', text: 'select pg_advisory_unlock($1)' }

export async function postgresLock(): Promise<Peer | string> {
  const programs = programsOf()
  if (typeof programs === 'string') return `PostgreSQL: ${programs}`
  const { bin, env } = programs
  const server = await start('postgres', ({ port, folder }) => {
    if (isRoot()) chownSync(folder, NOBODY, NOBODY)
    const data = join(folder, 'data')
    const [file, args] = unprivileged(join(bin, 'initdb'), [
      ['--pgdata', data, '--username', 'bench', '--auth', 'trust', '--encoding', 'UTF8', '--locale', 'C'],
    ])
    const made = spawnSync(file, args, { cwd: folder, env, encoding: 'utf8' })
    if (made.status !== 0) throw new Error(`initdb: ${made.error?.message ?? made.stderr.trim()}`)
    const settings = [
      'listen_addresses=127.0.0.1',
      'unix_socket_directories=',
      `max_connections=${CONNECTIONS_MAX + CONNECTIONS_SPARE}`,
    ]
    const [program, rest] = unprivileged(join(bin, 'postgres'), [
      ['-D', data, '-p', `${port}`],
      ...settings.map(setting => ['-c', setting]),
    ])
    return { file: program, args: rest, env }
  })
  const clients: Promise<pg.Client>[] = []
  const clientOf = (worker: number) => {
    const index = worker % CONNECTIONS_MAX
    clients[index] ??= open(server.port)
    return clients[index]
  }
  await clientOf(0)
  const keys = new Map<string, number>()
  return {
    name: 'PostgreSQL advisory locks (npm pg), one server',
    durability:
      'none: locks are in memory and end with the connection or the server; no fencing token, no time to live',
    waiting: `in line, in the server; at most ${CONNECTIONS_MAX} connections`,
    acquire: async (name, worker) => {
      const client = await clientOf(worker)
      const values = [keys.get(name) ?? numbered(keys, name)]
      await client.query({ ...ACQUIRE, values })
      return { release: () => client.query({ ...RELEASE, values }) }
    },
    processes: () => familyOf(server.child.pid ?? 0),
    commits: 'nothing is committed',
    close: async () => {
      await Promise.all(clients.filter(Boolean).map(async client => (await client).end()))
      await server.stop()
    },
  }
}

/** Its locks are numbers. */
function numbered(keys: Map<string, number>, name: string): number {
  keys.set(name, keys.size)
  return keys.size - 1
}

/** It takes connections a moment after its port is open. */
async function open(port: number): Promise<pg.Client> {
  for (let tries = 1; ; tries++) {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'bench', database: 'postgres' })
    // What breaks a connection breaks the query on it too, which says so.
    client.on('error', () => undefined)
    try {
      await client.connect()
      return client
    } catch (error) {
      if (tries === READY_TRIES_MAX) throw error
      await sleep(READY_LOOK_MS)
    }
  }
}

const isRoot = () => process.getuid?.() === 0

function unprivileged(file: string, args: string[][]): [string, string[]] {
  if (!isRoot()) return [file, args.flat()]
  return ['setpriv', [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', file, ...args.flat()]]
}

/** Where `initdb` and `postgres` are: of the machine, else from Debian. */
function programsOf(): { bin: string; env: NodeJS.ProcessEnv } | string {
  const own = globSync('/usr/lib/postgresql/*/bin/postgres').sort().at(-1)
  if (own) return { bin: join(own, '..'), env: process.env }
  const installed = debian('postgresql')
  if (typeof installed === 'string') return installed
  return { bin: `${installed.root}/usr/lib/postgresql/15/bin`, env: installed.env }
}
