/**
 * One process on one machine: clocks of its own rate, timers, and what arrives from outside. It can be killed, stopped and continued (its clocks go on),
 * suspended (the monotonic clock stands still, the boot clock does not), frozen by its hypervisor (no clock of it counts), and its wall clock can be stepped.
 *
 * When it is continued, due timers run before its sockets are read, as Node does it, and then what was to run after the poll.
 */
import type { Cancel, Schedule } from './schedule.ts'

/** The boot clock counts in steps of this. */
const BOOT_GRAIN_MS = 10
const BOOTED_MS = 100_000
const WALL_MS = Date.UTC(2030, 0, 1)

type Kind = 'timer' | 'arrival' | 'poll'

export class Machine {
  readonly name: string
  readonly schedule: Schedule
  /** Of its clocks against real time. */
  readonly rate: number
  #state: 'running' | 'stopped' | 'dead' = 'running'
  #suspendedMs = 0
  /** What came while it was stopped, and has not been looked at yet. */
  #behind = 0
  #wallStepMs = 0
  /** Of real time, and not counted by any clock. */
  #frozenMs = 0
  #isFrozen = false
  /** When it was frozen last, in real time. */
  frozenAtMs = Number.NEGATIVE_INFINITY
  #waiting: Record<Kind, (() => void)[]> = { timer: [], arrival: [], poll: [] }
  readonly #startedMs: number
  readonly #ends: (() => void)[] = []

  constructor(schedule: Schedule, options: { name: string; rate: number }) {
    this.schedule = schedule
    this.name = options.name
    this.rate = options.rate
    this.#startedMs = schedule.nowMs
  }

  get isDead(): boolean {
    return this.#state === 'dead'
  }

  get isRunning(): boolean {
    return this.#state === 'running'
  }

  hrtimeMs(): number {
    return 1_000 + this.#countedMs() - this.#suspendedMs
  }

  bootMs(): number {
    const exact = BOOTED_MS + this.#countedMs()
    return Math.floor(exact / BOOT_GRAIN_MS) * BOOT_GRAIN_MS
  }

  wallMs(): number {
    return WALL_MS + Math.floor(this.#startedMs * this.rate + this.#countedMs()) + this.#wallStepMs
  }

  /** In whole ms and at least one, like the system's timers. */
  after(delayMs: number, callback: () => void): Cancel {
    return this.#arm(this.hrtimeMs() + Math.max(1, Math.ceil(delayMs)), callback)
  }

  afterPoll(callback: () => void): void {
    this.schedule.at(this.schedule.nowMs, () => this.#do('poll', callback))
  }

  /** Something has come in from outside. */
  arrive(call: () => void): void {
    this.#do('arrival', call)
  }

  stop(): void {
    if (this.#state === 'running') this.#state = 'stopped'
  }

  /** `suspendedMs`: so much of the time since it was stopped the monotonic clock has not seen. */
  continue(suspendedMs = 0): void {
    if (this.#state !== 'stopped') return
    this.#state = 'running'
    this.#suspendedMs += suspendedMs * this.rate
    this.#runWhatWaits()
  }

  /** Its hypervisor lets it go no further, and none of its clocks either. */
  freeze(): void {
    if (this.#state !== 'running') return
    this.#state = 'stopped'
    this.#isFrozen = true
    this.frozenAtMs = this.schedule.nowMs
  }

  /** `isWallSet`: somebody outside tells it what time it is, and it believes that. */
  thaw({ isWallSet }: { isWallSet: boolean }): void {
    if (!this.#isFrozen || this.#state !== 'stopped') return
    this.#state = 'running'
    this.#isFrozen = false
    const lostMs = this.schedule.nowMs - this.frozenAtMs
    this.#frozenMs += lostMs
    if (isWallSet) this.#wallStepMs += lostMs * this.rate
    this.#runWhatWaits()
  }

  #runWhatWaits(): void {
    const { timer, arrival, poll } = this.#waiting
    this.#waiting = { timer: [], arrival: [], poll: [] }
    const due: [Kind, (() => void)[]][] = [
      ['timer', timer],
      ['arrival', arrival],
      ['poll', poll],
    ]
    for (const [kind, calls] of due)
      for (const call of calls) {
        this.#behind++
        this.schedule.at(this.schedule.nowMs, () => {
          this.#behind--
          this.#run(kind, call)
        })
      }
  }

  stepWall(ms: number): void {
    this.#wallStepMs += ms
  }

  kill(): void {
    this.#state = 'dead'
    this.#waiting = { timer: [], arrival: [], poll: [] }
    for (const end of this.#ends.splice(0)) end()
  }

  /** Called when it is killed: the system closes its sockets. */
  onEnd(end: () => void): void {
    this.#ends.push(end)
  }

  #arm(dueMs: number, callback: () => void): Cancel {
    let cancel: Cancel = () => undefined
    let isCancelled = false
    const ring = () => {
      if (isCancelled) return
      // It was suspended meanwhile: its clock has not come so far.
      if (this.hrtimeMs() < dueMs - 1e-6) wait()
      else callback()
    }
    const wait = () => {
      const realMs = this.schedule.nowMs + (dueMs - this.hrtimeMs()) / this.rate
      cancel = this.schedule.at(realMs, () => this.#do('timer', ring))
    }
    wait()
    return () => {
      isCancelled = true
      cancel()
    }
  }

  /** Since its start, by its own rate. */
  #countedMs(): number {
    const nowMs = this.#isFrozen ? this.frozenAtMs : this.schedule.nowMs
    return (nowMs - this.#startedMs - this.#frozenMs) * this.rate
  }

  #do(kind: Kind, call: () => void): void {
    // What came while it was stopped lies before what comes now, as in a socket.
    if (kind === 'arrival' && this.#behind > 0) this.schedule.at(this.schedule.nowMs, () => this.#run(kind, call))
    else this.#run(kind, call)
  }

  #run(kind: Kind, call: () => void): void {
    if (this.#state === 'running') call()
    else if (this.#state === 'stopped') this.#waiting[kind].push(call)
  }
}
