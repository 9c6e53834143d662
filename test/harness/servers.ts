/** Several Holdfast servers over one etcd cluster, as real processes. */
import { type EtcdCluster, type EtcdOptions, startEtcd } from './etcd.ts'
import { freePort, temporaryFolder } from './process.ts'
import { type Server, startServer } from './server.ts'

export type ServersOptions = { servers?: number; etcd?: EtcdOptions; flags?: string[]; filesMax?: number }

export class Servers {
  readonly etcd: EtcdCluster
  readonly all: Server[] = []
  readonly #folder = temporaryFolder('servers')
  readonly #options: Pick<ServersOptions, 'flags' | 'filesMax'>

  constructor(etcd: EtcdCluster, options: Pick<ServersOptions, 'flags' | 'filesMax'>) {
    this.etcd = etcd
    this.#options = options
  }

  get urls(): string[] {
    return this.all.map(server => server.url)
  }

  /** Starts the server of this place, on the port that it had before if it has been there. */
  async start(place: number): Promise<Server> {
    const port = this.all[place]?.port ?? (await freePort())
    const { flags = [], filesMax } = this.#options
    const server = await startServer({
      ...(filesMax === undefined ? {} : { filesMax }),
      data: `${this.#folder.path}/${place}`,
      port,
      flags: ['--engine', 'etcd', '--etcd', this.etcd.urls.join(','), '--server-name', `server-${place}`, ...flags],
    })
    this.all[place] = server
    return server
  }

  /** How many shards each server decides for, by its own account. */
  async shards(): Promise<number[]> {
    return Promise.all(this.all.map(server => shardsOf(server)))
  }

  /** Returns when the shards are all taken and spread over `count` servers. */
  async spread(count: number): Promise<void> {
    for (let tries = 0; tries < 600; tries++) {
      const counts = await this.shards()
      const sum = counts.reduce((total, own) => total + own, 0)
      if (sum === SHARDS && counts.filter(own => own > 0).length >= Math.min(count, SHARDS)) return
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    throw new Error(`the shards did not spread over ${count} servers: ${await this.shards()}`)
  }

  /** The place of the server whose shards have written most: in these tests all locks are in one shard. */
  async busiest(): Promise<number> {
    const written = await Promise.all(this.all.map(server => writtenBy(server)))
    return written.indexOf(Math.max(...written))
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.map(server => server.kill()))
    await this.etcd.stop()
    this.#folder.remove()
  }
}

/** The default of a new cluster on etcd. */
export const SHARDS = 8

export async function startServers(options: ServersOptions = {}): Promise<Servers> {
  const servers = new Servers(await startEtcd({ members: 3, ...options.etcd }), options)
  const count = options.servers ?? 3
  await Promise.all(Array.from({ length: count }, (_, place) => servers.start(place)))
  await servers.spread(count)
  return servers
}

/** One for each shard that it decides for; none when it does not answer. */
async function logBytesOf({ url, child }: Server): Promise<number[]> {
  if (child.exitCode !== null || child.signalCode !== null) return []
  const text = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(1_000) }).then(
    response => response.text(),
    () => '',
  )
  const lines = text.split('\n').filter(line => line.startsWith('holdfast_log_bytes{'))
  return lines.map(line => Number(line.split(' ')[1]))
}

async function shardsOf(server: Server): Promise<number> {
  return (await logBytesOf(server)).length
}

async function writtenBy(server: Server): Promise<number> {
  return Math.max(0, ...(await logBytesOf(server)))
}
