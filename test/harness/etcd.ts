/**
 * Real etcd: one member or several on this machine, each of which can be killed, stopped and started again. The program is the one on PATH, or
 * comes as a Debian package into the cache folder; that it cannot be had is an error, for without it nothing is shown.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { debian } from './debian.ts'
import { freePort, temporaryFolder } from './process.ts'

export type EtcdOptions = {
  members?: number
  /** For every member, like `--quota-backend-bytes=20000000`. */
  flags?: string[]
  /** They sync what they write, as others' do. Without, what is tested survives the death of processes, and not of the machine; and the disk is shared. */
  isSynced?: boolean
  tls?: { caFile: string; certificateFile: string; keyFile: string } | null
}

const READY_MS_MAX = 30_000

/** Paths of `etcd` and `etcdutl`. @throws when they cannot be had. */
export function etcdPrograms(): { etcd: string; etcdutl: string } {
  const onPath = spawnSync('etcd', ['--version'], { encoding: 'utf8' })
  const version = /etcd Version: (\d+)\.(\d+)/.exec(onPath.stdout ?? '')
  const isNewEnough = version !== null && Number(version[1]) === 3 && Number(version[2]) >= 5
  if (isNewEnough && spawnSync('etcdutl', ['version']).status === 0) return { etcd: 'etcd', etcdutl: 'etcdutl' }
  const installed = debian('etcd')
  if (typeof installed === 'string') throw new Error(`No etcd 3.5 or newer on PATH, and none to be had: ${installed}`)
  return { etcd: installed.bin('etcd'), etcdutl: installed.bin('etcdutl') }
}

/** Of another release than `etcdPrograms` has, and its version. @throws when it cannot be had. */
export function newerEtcd(): { etcd: string; version: string } {
  const installed = debian('newerEtcd')
  if (typeof installed === 'string') throw new Error(`No newer etcd to be had: ${installed}`)
  const etcd = installed.bin('etcd')
  const { stdout } = spawnSync(etcd, ['--version'], { encoding: 'utf8' })
  return { etcd, version: /etcd Version: (\S+)/.exec(stdout)?.[1] ?? '' }
}

export class EtcdMember {
  readonly name: string
  readonly clientPort: number
  readonly peerPort: number
  readonly dataDirectory: string
  readonly #isSecure: boolean
  #child: ChildProcess | null = null
  #output = ''

  constructor(options: {
    name: string
    clientPort: number
    peerPort: number
    dataDirectory: string
    isSecure: boolean
  }) {
    this.name = options.name
    this.clientPort = options.clientPort
    this.peerPort = options.peerPort
    this.dataDirectory = options.dataDirectory
    this.#isSecure = options.isSecure
  }

  get url(): string {
    return `${this.#isSecure ? 'https' : 'http'}://127.0.0.1:${this.clientPort}`
  }
  get peerUrl(): string {
    return `http://127.0.0.1:${this.peerPort}`
  }
  /** The last of what it has said. */
  get output(): string {
    return this.#output
  }

  /** Starts the process without waiting for it to be of use. */
  spawn(args: string[]): void {
    const child = spawn(etcdPrograms().etcd, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    // A test file that ends in the middle leaves nobody behind.
    const onExit = () => child.kill('SIGKILL')
    process.once('exit', onExit)
    child.once('exit', () => process.removeListener('exit', onExit))
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data: Buffer) => {
        this.#output = (this.#output + data.toString()).slice(-16_384)
      })
    }
  }

  /** Of the process, while it runs. */
  get pid(): number | null {
    return this.isRunning ? (this.#child?.pid ?? null) : null
  }

  get isRunning(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** kill -9, or another signal; waits until it is gone. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child
    if (!child || !this.isRunning) return
    const gone = new Promise<void>(resolve => child.once('exit', () => resolve()))
    child.kill(signal)
    // One that is stopped dies only of this.
    if (signal !== 'SIGKILL') child.kill('SIGCONT')
    await gone
  }

  /** SIGSTOP: its sockets stay open, and nothing comes out of them once this has resolved. On a busy machine threads go on for some ms after the signal. */
  async pause(): Promise<void> {
    this.#child?.kill('SIGSTOP')
    const tasks = `/proc/${this.#child?.pid}/task`
    const isStopped = (task: string) => / T /.test(readFileSync(`${tasks}/${task}/stat`, 'utf8').replace(/^.*\)/s, ''))
    while (!readdirSync(tasks).every(isStopped)) await sleep(1)
  }
  resume(): void {
    this.#child?.kill('SIGCONT')
  }
}

export class EtcdCluster {
  readonly members: EtcdMember[]
  readonly #folder: ReturnType<typeof temporaryFolder>
  readonly #options: EtcdOptions

  constructor(members: EtcdMember[], folder: ReturnType<typeof temporaryFolder>, options: EtcdOptions) {
    this.members = members
    this.#folder = folder
    this.#options = options
  }

  get urls(): string[] {
    return this.members.map(member => member.url)
  }
  get url(): string {
    return this.members[0]!.url
  }
  /** For what belongs to it, gone with it. */
  get folder(): string {
    return this.#folder.path
  }

  /** Starts it, or starts it again on its data. */
  start(member: EtcdMember, flags: string[] = []): void {
    const { tls } = this.#options
    const secure = tls
      ? [
          `--cert-file=${tls.certificateFile}`,
          `--key-file=${tls.keyFile}`,
          `--trusted-ca-file=${tls.caFile}`,
          '--client-cert-auth',
        ]
      : []
    member.spawn([
      `--name=${member.name}`,
      `--data-dir=${member.dataDirectory}`,
      `--listen-client-urls=${member.url}`,
      `--advertise-client-urls=${member.url}`,
      `--listen-peer-urls=${member.peerUrl}`,
      `--initial-advertise-peer-urls=${member.peerUrl}`,
      `--initial-cluster=${this.initialCluster}`,
      '--initial-cluster-token=holdfast-test',
      '--log-level=warn',
      ...(this.#options.isSynced ? [] : ['--unsafe-no-fsync']),
      ...secure,
      ...(this.#options.flags ?? []),
      ...flags,
    ])
  }

  get initialCluster(): string {
    return this.members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(',')
  }

  /** Waits until a leader is known, as the HTTP door of the member tells; over TLS, until its port answers. */
  async ready(member: EtcdMember): Promise<void> {
    for (let waited = 0; waited < READY_MS_MAX && member.isRunning; waited += 50) {
      if (this.#options.tls) return sleep(500)
      const isHealthy = await fetch(`${member.url}/health`).then(
        response => response.ok,
        () => false,
      )
      if (isHealthy) return
      await sleep(50)
    }
    throw new Error(`etcd member ${member.name} is not ready: ${member.output}`)
  }

  async allReady(): Promise<void> {
    await Promise.all(this.members.map(member => this.ready(member)))
  }

  /** The member that leads now. */
  async leader(): Promise<EtcdMember> {
    for (const member of this.members.filter(({ isRunning }) => isRunning)) {
      const status = (await this.gateway(member, '/v3/maintenance/status', {}).catch(() => null)) as {
        leader?: string
        header: { member_id: string }
      } | null
      if (status?.leader && status.leader === status.header.member_id) return member
    }
    throw new Error('no member leads')
  }

  /** etcd's own JSON door, for what our client does not do: users, roles. */
  async gateway(member: EtcdMember, path: string, body: object, token?: string): Promise<unknown> {
    const response = await fetch(`${member.url}${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      ...(token ? { headers: { authorization: token } } : {}),
      signal: AbortSignal.timeout(5_000),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`)
    return JSON.parse(text)
  }

  /** Kills what runs and removes all traces. */
  async stop(): Promise<void> {
    await Promise.all(this.members.map(member => member.kill()))
    this.#folder.remove()
  }
}

export async function startEtcd(options: EtcdOptions = {}): Promise<EtcdCluster> {
  const folder = temporaryFolder('etcd')
  const members: EtcdMember[] = []
  const count = options.members ?? 1
  // A free port is free until somebody uses it, so it may be given twice.
  const ports = new Set<number>()
  while (ports.size < count * 2) ports.add(await freePort())
  const [...free] = ports
  for (let index = 0; index < count; index++) {
    members.push(
      new EtcdMember({
        name: `m${index}`,
        clientPort: free[index * 2]!,
        peerPort: free[index * 2 + 1]!,
        dataDirectory: join(folder.path, `m${index}`),
        isSecure: Boolean(options.tls),
      }),
    )
  }
  const cluster = new EtcdCluster(members, folder, options)
  try {
    for (const member of members) cluster.start(member)
    await cluster.allReady()
    return cluster
  } catch (error) {
    await cluster.stop()
    throw error
  }
}
