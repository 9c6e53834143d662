/**
 * The process behind `holdfast cluster up`: it runs the members of the plan, starts again what dies, and does what commands have written into
 * the plan since. It writes down which processes are its own, so that after its own violent death the next one finds them.
 *
 * Who runs a directory has a lock of the kernel's on it (`process-lock/holder.ts`), before anything is looked at: of two that find the members of a
 * third that was killed, one stops and starts them, and the other goes.
 */
import { chmodSync, statSync } from 'node:fs'
import { type Clock, pause } from '../clock.ts'
import { Holder, StoreInUse } from '../process-lock/holder.ts'
import { factsOfProcess, type ProcessFacts, systemProcesses } from '../shards/processes.ts'
import type { ClusterDirectory, ClusterPlan, MemberPlan } from './directory.ts'
import { ClusterFailure, messageOf } from './failure.ts'
import { parseJson, readText, remove, writeWhole } from './files.ts'
import { MemberProcess } from './member.ts'
import { isAlive } from './operation.ts'
import { findEtcd } from './programs.ts'

/** `generation` is the one that the process was started with: who has asked for a restart sees that it is under way. */
export type RunningMember = {
  name: string
  generation: number
  etcd: string
  process: ProcessFacts | null
  restarts: number
}
export type Running = { process: ProcessFacts; members: RunningMember[] }

const LOOK_MS = 100
/** After a look at the plan that could not be carried out. */
const AGAIN_MS = 1_000
const ORPHAN_MS_MAX = 20_000
const LOCK_MODE = 0o600

/** Who runs the cluster of this directory now; null when nobody does. */
export function runningIn(directory: ClusterDirectory): Running | null {
  const running = recorded(directory)
  return running && isAlive(running.process) ? running : null
}

function recorded(directory: ClusterDirectory): Running | null {
  const text = readText(directory.runningFile)
  // Written by `#record`.
  return text === null ? null : (parseJson(text, directory.runningFile) as Running)
}

type Options = { directory: ClusterDirectory; clock: Clock; said(text: string): void }

export class Runner {
  readonly #options: Options
  readonly #members = new Map<string, MemberProcess>()
  #cancelLook: () => void = () => undefined
  #turning: Promise<void> | null = null
  /** The plan that has been carried out. */
  #seen = ''
  /** Why it could not be, as it was told: once, not with every try. */
  #turnTrouble = ''
  /** Why what has been started and has ended could not be written down; empty: it is. */
  #noteTrouble = ''
  #isOver = false
  /** null: this is not the one that runs the directory. */
  #holder: Holder | null = null

  constructor(options: Options) {
    this.#options = options
  }

  /** Starts the members. @throws ClusterFailure when another process runs them, or a program is missing. */
  async start(): Promise<void> {
    this.#holder = hold(this.#options.directory)
    try {
      await this.#takeOver()
      await this.#turn()
    } catch (error) {
      await this.close()
      throw error
    }
    this.#arm()
  }

  get restarts(): number {
    return [...this.#members.values()].reduce((sum, member) => sum + member.restarts, 0)
  }

  /** Stops the members, and resolves when they are gone. */
  async close(): Promise<void> {
    this.#isOver = true
    this.#cancelLook()
    await this.#turning
    // One after another: all at once, the leader would wait seconds for somebody to hand its leadership to.
    for (const member of this.#members.values()) await member.stop()
    const { directory } = this.#options
    try {
      if (this.#holder && recorded(directory)?.process.pid === process.pid) remove(directory.runningFile)
    } finally {
      this.#holder?.release()
      this.#holder = null
    }
  }

  async #takeOver(): Promise<void> {
    const { directory, clock, said } = this.#options
    const former = recorded(directory)
    // One of a Holdfast that took no lock.
    if (former && isAlive(former.process)) throw runBy(directory, former.process.pid)
    for (const { name, process } of former?.members ?? []) if (process) await endOrphan({ name, process, clock, said })
    for (const { etcd } of directory.plan().members) findEtcd(etcd)
    this.#record()
  }

  #arm(afterMs = LOOK_MS): void {
    this.#cancelLook = this.#options.clock.after(afterMs, () => {
      this.#turning = this.#look().then(waitMs => {
        this.#turning = null
        if (!this.#isOver) this.#arm(waitMs)
      })
    })
  }

  /** What cannot be done now is tried until it can: nobody writes the plan again for that. Returns when to look next. */
  async #look(): Promise<number> {
    if (this.#noteTrouble !== '') this.#note()
    try {
      await this.#turn()
      this.#turnTrouble = ''
    } catch (error) {
      const why = messageOf(error)
      if (why !== this.#turnTrouble) this.#options.said(`the plan cannot be carried out, and is tried again: ${why}`)
      this.#turnTrouble = why
    }
    return this.#turnTrouble === '' && this.#noteTrouble === '' ? LOOK_MS : AGAIN_MS
  }

  /** Makes the processes what the plan says, if it has been written since. @throws the first failure, when all that could be done is done */
  async #turn(): Promise<void> {
    const { directory } = this.#options
    const { ino, mtimeMs } = statSync(directory.planFile)
    const seen = `${ino} ${mtimeMs}`
    if (seen === this.#seen) return
    const cluster = directory.plan()
    const planned = new Map(cluster.members.map(plan => [plan.name, plan]))
    for (const [name, member] of this.#members) {
      const plan = planned.get(name)
      if (plan?.generation === member.plan.generation) continue
      await member.stop()
      this.#members.delete(name)
      this.#note()
    }
    const failures: unknown[] = []
    for (const plan of cluster.members) {
      if (this.#members.has(plan.name)) continue
      try {
        this.#startMember(cluster, plan)
      } catch (error) {
        // The next one may be able to.
        this.#members.delete(plan.name)
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
    this.#seen = seen
  }

  #startMember(cluster: ClusterPlan, plan: MemberPlan): void {
    const { directory, clock, said } = this.#options
    const { version } = findEtcd(plan.etcd)
    const changed = () => this.#note()
    const member = new MemberProcess({ directory, cluster, plan, version, clock, said, changed })
    this.#members.set(plan.name, member)
    member.start()
  }

  /** A member has been started or is gone: that is so, also when it cannot be written down, as on a full disk. Then it is tried again. */
  #note(): void {
    try {
      this.#record()
      this.#noteTrouble = ''
    } catch (error) {
      const why = messageOf(error)
      if (why !== this.#noteTrouble) {
        this.#options.said(`which members run cannot be written down, and is tried again: ${why}`)
      }
      this.#noteTrouble = why
    }
  }

  #record(): void {
    const members = [...this.#members.values()].map(({ plan, pid, restarts }) => ({
      name: plan.name,
      generation: plan.generation,
      etcd: plan.etcd,
      process: pid === null ? null : factsOfProcess(pid),
      restarts,
    }))
    const running: Running = { process: systemProcesses.own(), members }
    writeWhole(this.#options.directory.runningFile, JSON.stringify(running))
  }
}

/** @throws ClusterFailure when another process has it. */
function hold(directory: ClusterDirectory): Holder {
  try {
    const holder = new Holder(directory.path)
    chmodSync(holder.file, LOCK_MODE)
    return holder
  } catch (error) {
    if (!(error instanceof StoreInUse)) {
      const text = `It cannot be made sure that nobody else runs the cluster in ${directory.path}: ${messageOf(error)}.`
      throw new ClusterFailure(text, { cause: error })
    }
    // Who has only just taken it may not have said so yet, and what is there then is of somebody who is gone.
    const { pid } = error
    throw runBy(directory, pid !== null && isAlive(factsOfProcess(pid)) ? pid : null)
  }
}

function runBy({ path }: ClusterDirectory, pid: number | null): ClusterFailure {
  const who = pid === null ? 'another process' : `process ${pid}`
  return new ClusterFailure(`The cluster in ${path} is run by ${who} already.`)
}

/** A member whose runner was killed: it still has the data directory. */
async function endOrphan(orphan: { name: string; process: ProcessFacts; clock: Clock; said(text: string): void }) {
  const { name, process: facts, clock, said } = orphan
  const isHere = () => systemProcesses.stateOf(facts) === 'alive'
  if (!isHere()) return
  said(`${name} still runs from before (process ${facts.pid}): it is stopped first`)
  signal(facts.pid, 'SIGTERM')
  for (let waitedMs = 0; isHere() && waitedMs < ORPHAN_MS_MAX; waitedMs += LOOK_MS) await pause(clock, LOOK_MS)
  if (isHere()) signal(facts.pid, 'SIGKILL')
  while (isHere()) await pause(clock, LOOK_MS)
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    // It has gone in the meantime.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
