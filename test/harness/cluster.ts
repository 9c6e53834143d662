/** A cluster as its users have it: real etcd members under `holdfast cluster up`, and real servers on them with the line that it prints. */
import { dirname, join } from 'node:path'
import { type Cli, type Ended, startCli } from './cli.ts'
import { etcdPrograms } from './etcd.ts'
import { freePort, temporaryFolder } from './process.ts'
import { type Server, startServer } from './server.ts'

export type ClusterOptions = {
  servers?: number
  members?: number
  /** More for `cluster up`. */
  flags?: string[]
  /** More for every `serve`. */
  serveFlags?: string[]
}

/** Where `etcd` and `etcdutl` are found, as on a machine that has them installed. */
export function etcdEnvironment(): NodeJS.ProcessEnv {
  const { etcd } = etcdPrograms()
  return etcd === 'etcd' ? {} : { PATH: `${dirname(etcd)}:${process.env.PATH}` }
}

export class TestCluster {
  readonly folder: ReturnType<typeof temporaryFolder>
  /** The directory of `cluster up`. */
  readonly data: string
  readonly servers: Server[] = []
  up: Cli | null = null
  #serveArguments: string[] = []
  readonly #options: ClusterOptions

  constructor(options: ClusterOptions) {
    this.#options = options
    this.folder = temporaryFolder('cluster')
    this.data = join(this.folder.path, 'cluster')
  }

  /** Of the servers, for the library. */
  get urls(): string[] {
    return this.servers.map(({ url }) => url)
  }

  /** Starts the members, or starts them again, and waits until they are ready. */
  async startUp(flags: string[] = this.#options.flags ?? []): Promise<Cli> {
    const args = ['cluster', 'up', '--data', this.data, '--port', '0', ...flags]
    this.up = startCli(args, { url: '', env: etcdEnvironment(), cwd: this.folder.path })
    const [line] = await this.up.says(/^holdfast serve .*$/m)
    this.use(line)
    return this.up
  }

  /** Servers are started with this line that `cluster up` has printed. */
  use(line: string): void {
    const words = line.split(' ')
    this.#serveArguments = words.slice(words.indexOf('--engine'))
  }

  /** One more server, with what `cluster up` has printed. Paths are relative to its folder. */
  async startServer(more: { data?: string; port?: number; flags?: string[] } = {}): Promise<Server> {
    const number = this.servers.length + 1
    const flags = ['--server-name', `s${number}`, ...this.#serveArguments, ...(this.#options.serveFlags ?? [])]
    const server = await startServer({
      data: more.data ?? join(this.folder.path, `server-${number}`),
      port: more.port ?? (await freePort()),
      flags: [...flags, ...(more.flags ?? [])],
      cwd: this.folder.path,
    })
    this.servers.push(server)
    return server
  }

  /** `holdfast cluster …` on its directory, begun. */
  begin(...args: string[]): Cli {
    const options = { url: '', env: etcdEnvironment(), cwd: this.folder.path }
    return startCli(['cluster', ...args, '--data', this.data], options)
  }

  /** The same, to its end. */
  run(...args: string[]): Promise<Ended> {
    return this.begin(...args).ended
  }

  /** The same, and its standard output. @throws when it fails. */
  async ok(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...args)
    if (code === 0) return stdout
    throw new Error(`holdfast cluster ${args.join(' ')} ended with ${code}: ${stdout}${stderr}`)
  }

  /** `holdfast doctor` on its directory and its servers. */
  doctor(): Promise<Ended> {
    const options = { url: this.urls.join(',') || 'http://127.0.0.1:1', env: etcdEnvironment(), cwd: this.folder.path }
    return startCli(['doctor', '--data', this.data], options).ended
  }

  async stopServers(): Promise<void> {
    await Promise.all(this.servers.splice(0).map(server => server.stop()))
  }

  /** SIGTERM, and waits until all members are gone. */
  async stopUp(): Promise<Ended | null> {
    const up = this.up
    this.up = null
    if (!up) return null
    up.child.kill('SIGTERM')
    return up.ended
  }

  async stop(): Promise<void> {
    await this.stopServers()
    await this.stopUp()
    this.folder.remove()
  }
}

export async function startCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const cluster = new TestCluster(options)
  try {
    await cluster.startUp(['--members', String(options.members ?? 3), ...(options.flags ?? [])])
    for (let count = 0; count < (options.servers ?? 0); count++) await cluster.startServer()
    return cluster
  } catch (error) {
    await cluster.stop()
    throw error
  }
}
