/** One etcd member of this machine as a process: what it is told, and that it is started again when it dies. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { isIP } from 'node:net'
import type { Clock } from '../clock.ts'
import { type ClusterDirectory, type ClusterPlan, clientUrlOf, type MemberPlan, peerUrlOf } from './directory.ts'
import { messageOf } from './failure.ts'
import { makeDirectory } from './files.ts'
import { lastWordsIn, sizeOfLog } from './last-words.ts'
import { numbersOf } from './programs.ts'

/** Of the log file; two more of them are kept. */
const LOG_MEGABYTES = 16
/** Of what it says on its standard error: nearly nothing, as there is a log. */
const LAST_WORDS_BYTES = 4_096
const BACKOFF_MS_MIN = 500
/** A member that cannot start does not take the machine's time from those that run. */
const BACKOFF_MS_MAX = 30_000
/** One that has run for so long has died of something new. */
const STEADY_MS = 60_000
/** It hands its leadership on and closes its files. */
const STOP_MS_MAX = 15_000
/** Until it is looked again whether a member that has just been started has data. */
const DATA_LOOK_MS = 500
/** Until it is tried again to start one whose files could not be made. */
const AGAIN_MS = 5_000
/** The same of one whose data are missing. */
const MISSING_LOOK_MS = 5_000

type Options = {
  directory: ClusterDirectory
  cluster: Pick<ClusterPlan, 'token' | 'quotaBytes'>
  plan: MemberPlan
  version: string
  clock: Clock
  said(text: string): void
  /** Has been started, or is gone. */
  changed(): void
}

export class MemberProcess {
  readonly plan: MemberPlan
  readonly #options: Options
  #child: ChildProcess | null = null
  #gone: Promise<void> = Promise.resolve()
  #backoffMs = BACKOFF_MS_MIN
  #startedMs = 0
  #lastWords = ''
  /** Where in its log it began. */
  #logFrom = 0
  #cancelRestart: () => void = () => undefined
  #cancelLook: () => void = () => undefined
  #isStopping = false
  #isMissed = false
  /** What could not be done, and why, as it was told: once, not with every try. */
  readonly #troubles = new Map<string, string>()
  restarts = 0

  constructor(options: Options) {
    this.#options = options
    this.plan = options.plan
  }

  get pid(): number | null {
    return this.#child?.pid ?? null
  }

  /**
   * A member without its data has forgotten what it has voted for: started as if it were new it would vote again, and found a second, empty cluster under the name
   * of the first if the others are not up yet. So it is not started until its data are back.
   *
   * @throws ClusterFailure when its files cannot be made; then it does not run
   */
  start(): void {
    try {
      this.#begin()
    } catch (error) {
      this.#cancelLook()
      throw error
    }
  }

  #begin(): void {
    const { directory, clock, plan, changed } = this.#options
    if (directory.isRemoved(plan.name)) return this.#sayRemoved()
    if (directory.isMissingData(plan.name)) return this.#miss()
    this.#isMissed = false
    this.#look()
    makeDirectory(directory.member(plan.name))
    // etcd would make it readable for everybody; what is there it leaves as it is.
    closeSync(openSync(directory.file(plan.name, 'etcd.log'), 'a', 0o600))
    this.#startedMs = clock.hrtimeMs()
    this.#lastWords = ''
    this.#logFrom = sizeOfLog(directory.file(plan.name, 'etcd.log'))
    // A group of its own: Ctrl-C is for the one who runs it, who then stops it in good order.
    const stdio: ['ignore', 'ignore', 'pipe'] = ['ignore', 'ignore', 'pipe']
    const child = spawn(plan.etcd, flagsOf(this.#options), { stdio, detached: true, env: environment() })
    this.#child = child
    // It has none when the system has no more pipes to give; that is told by `error`.
    child.stderr?.on('data', (bytes: Buffer) => {
      this.#lastWords = (this.#lastWords + bytes.toString()).slice(-LAST_WORDS_BYTES)
    })
    this.#gone = new Promise(resolve => {
      child.once('error', error => {
        this.#lastWords = messageOf(error)
        if (child.pid === undefined) this.#ended('could not be started', resolve)
      })
      child.once('exit', (code, signal) => this.#ended(`ended with ${signal ?? code}`, resolve))
    })
    changed()
  }

  /** Resolves when it is gone. It is not started again. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#cancelRestart()
    this.#cancelLook()
    const child = this.#child
    if (!child) return
    child.kill('SIGTERM')
    // One that somebody has stopped hears nothing until it goes on.
    child.kill('SIGCONT')
    const stopTimer = this.#options.clock.after(STOP_MS_MAX, () => child.kill('SIGKILL'))
    await this.#gone
    stopTimer()
  }

  /** From its first data on it is known to have had some. */
  #look(): void {
    const { directory, clock, plan } = this.#options
    const isNoted = this.#try(`that ${plan.name} has had data cannot be written down`, () => {
      const hasData = directory.hasData(plan.name)
      if (hasData) directory.noteStarted(plan.name)
      return hasData
    })
    if (!isNoted) this.#cancelLook = clock.after(DATA_LOOK_MS, () => this.#look())
  }

  /**
   * What fails on a full disk, say, and happens in a timer or at the end of a process: the other members must go on. It is told once.
   * Returns null when it has failed.
   */
  #try<Done>(what: string, act: () => Done): Done | null {
    try {
      const done = act()
      this.#troubles.delete(what)
      return done
    } catch (error) {
      const why = messageOf(error)
      if (why !== this.#troubles.get(what)) this.#options.said(`${what}: ${why}`)
      this.#troubles.set(what, why)
      return null
    }
  }

  /** For whoever has no caller that could be told, and until it has begun. */
  #startAgain(): void {
    const { clock, plan } = this.#options
    const hasBegun = this.#try(`${plan.name} cannot be started`, () => {
      this.start()
      return true
    })
    if (!hasBegun) this.#cancelRestart = clock.after(AGAIN_MS, () => this.#startAgain())
  }

  #miss(): void {
    const { directory, clock, plan, said } = this.#options
    if (!this.#isMissed)
      said(
        `${plan.name} is not started: it has run before, and its data are not in ${directory.file(plan.name, 'data')}. Bring them back (is a disk not mounted?), or give its place to a new member: \`holdfast cluster replace ${plan.name}\``,
      )
    this.#isMissed = true
    this.#cancelRestart = clock.after(MISSING_LOOK_MS, () => this.#startAgain())
  }

  #sayRemoved(): void {
    const { directory, plan, said } = this.#options
    // Whoever has removed it from here takes it out of the plan in a moment.
    said(
      `${plan.name} has been removed from the cluster, and is not started any more. When this machine is to have a member again: \`holdfast cluster add\` where others of the cluster run here, else \`holdfast cluster join\` with a new invitation and another folder than ${directory.path}`,
    )
  }

  #ended(how: string, resolve: () => void): void {
    const { directory, clock, plan, said, changed } = this.#options
    this.#child = null
    resolve()
    changed()
    if (this.#isStopping) return
    const log = directory.file(plan.name, 'etcd.log')
    const { text, isRemoved } = lastWordsIn(log, this.#logFrom)
    if (isRemoved) {
      // Else the next `up` starts it, and it ends like this again.
      this.#try(`that ${plan.name} has been removed cannot be written down`, () => directory.noteRemoved(plan.name))
      return this.#sayRemoved()
    }
    if (clock.hrtimeMs() - this.#startedMs > STEADY_MS) this.#backoffMs = BACKOFF_MS_MIN
    const waitMs = this.#backoffMs
    this.#backoffMs = Math.min(BACKOFF_MS_MAX, waitMs * 2)
    const words = text || (this.#lastWords.trim().split('\n').at(-1) ?? '')
    said(
      `${plan.name} ${how}${words ? `: ${words}` : ''}; it is started again in ${waitMs / 1_000} s (its log: ${log})`,
    )
    this.#cancelRestart = clock.after(waitMs, () => {
      this.restarts++
      this.#startAgain()
    })
  }
}

/** etcd refuses to start when a variable says what a flag says too, and what no flag says is not for the environment to decide. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('ETCD_')))
}

/** Everything that a member must know. */
export function flagsOf({ directory, cluster, plan, version }: Options): string[] {
  const { name, clientPort, peerPort, start } = plan
  // etcd listens on addresses only.
  const listen = isIP(plan.host) ? (plan.host.includes(':') ? `[${plan.host}]` : plan.host) : '0.0.0.0'
  const logs = { maxsize: LOG_MEGABYTES, maxage: 0, maxbackups: 2, localtime: false, compress: false }
  return [
    `--name=${name}`,
    `--data-dir=${directory.file(name, 'data')}`,
    `--listen-client-urls=https://${listen}:${clientPort}`,
    `--advertise-client-urls=${clientUrlOf(plan)}`,
    `--listen-peer-urls=https://${listen}:${peerPort}`,
    `--initial-advertise-peer-urls=${peerUrlOf(plan)}`,
    `--initial-cluster=${start.initialCluster}`,
    `--initial-cluster-state=${start.state}`,
    `--initial-cluster-token=${cluster.token}`,
    `--quota-backend-bytes=${cluster.quotaBytes}`,
    `--cert-file=${directory.file(name, 'server.pem')}`,
    `--key-file=${directory.file(name, 'server.pem')}`,
    `--trusted-ca-file=${directory.caFile}`,
    '--client-cert-auth=true',
    `--peer-cert-file=${directory.file(name, 'peer.pem')}`,
    `--peer-key-file=${directory.file(name, 'peer.pem')}`,
    `--peer-trusted-ca-file=${directory.caFile}`,
    '--peer-client-cert-auth=true',
    '--tls-min-version=TLS1.2',
    '--log-level=warn',
    `--log-outputs=${directory.file(name, 'etcd.log')}`,
    '--enable-log-rotation=true',
    `--log-rotation-config-json=${JSON.stringify(logs)}`,
    ...corruptionChecks(version),
  ]
}

/** Compares itself with the others before it serves, and at every compaction (SAFETY section 7). The flags changed their names in 3.6. */
function corruptionChecks(version: string): string[] {
  const [major, minor, patch] = numbersOf(version)
  if (major > 3 || minor >= 6) return ['--feature-gates=InitialCorruptCheck=true,CompactHashCheck=true']
  const initial = '--experimental-initial-corrupt-check=true'
  return patch >= 5 ? [initial, '--experimental-compact-hash-check-enabled=true'] : [initial]
}
