/** Those who have asked and not been answered yet: for a turn, or for as long as they wait in line. */
import { HoldfastError } from '@holdfast/protocol/errors'
import { EngineRefusal } from '../engine/engine.ts'
import type { Command } from '../locks/model.ts'
import type { Answer, Asking, Submitted } from './port.ts'
import { isRepeatable } from './repeat.ts'
import type { ShardTelemetry } from './telemetry.ts'

export const unknownOutcome = () =>
  new HoldfastError('unavailable', 'The outcome is unknown; retry with the same request id.')

/** The command has surely not been decided, and will not be: it may be asked elsewhere. */
export class NotTaken extends HoldfastError {
  override readonly name = 'NotTaken'
  constructor() {
    super('unavailable', 'This server does not decide for this lock now; retry.')
  }
}

/** Too many ask the same: whoever asked first hears no more, and need not ask again. */
export class Superseded extends HoldfastError {
  override readonly name = 'Superseded'
  constructor() {
    super('unavailable', 'The same request has been asked again, more than once; the answer goes there.')
  }
}

/** How many hear how one wait ends: a connection that is not known to be gone, those that took its place, and one more. */
export const CALLERS_OF_WAIT_MAX = 4

/** One command on its way through a shard. `asking` is null when time asked, or once nobody listens any more. */
export class Arrival implements Submitted {
  readonly instance: string
  readonly command: Command
  asking: Asking | null
  readonly #onDetach: (arrival: Arrival) => void
  /** While it waits in line. */
  wait: { ticket: number; session: string } | null = null
  /** On the shard's clock, when it had come into line, or to whoever stood there for the same request: it was received before. */
  waitsSinceMs = 0
  /** Its place in line is durable: it is in the log, whatever becomes of what is decided next. */
  isInLine = false
  isDetached = false
  /** Its place in line is given up here, so that it can be had elsewhere. */
  isMovingOn = false
  /** Kept apart from `asking`, which goes with its connection. */
  readonly keepsSessionAlive: boolean

  constructor(arrival: {
    instance: string
    command: Command
    asking: Asking | null
    onDetach: (arrival: Arrival) => void
  }) {
    this.instance = arrival.instance
    this.command = arrival.command
    this.asking = arrival.asking
    this.#onDetach = arrival.onDetach
    this.keepsSessionAlive = arrival.asking?.keepsSessionAlive === true
  }

  /** It was asked for whoever was connected, and they have gone: what is not decided need not be. */
  get isForsaken(): boolean {
    return this.isDetached && this.keepsSessionAlive
  }

  answer(answer: Answer): void {
    if (this.isMovingOn && hasLeftLine(answer)) return this.fail(new NotTaken())
    const { asking } = this
    this.asking = null
    asking?.answer(answer)
  }

  fail(error: HoldfastError): void {
    const { asking } = this
    this.asking = null
    asking?.fail(error)
  }

  detach(): void {
    if (this.isDetached || this.asking === null) return
    this.isDetached = true
    this.asking = null
    this.#onDetach(this)
  }
}

/**
 * The end of a wait, as this caller may count from it. How long it waited is counted on top of when it asked: who asked again under an `Idempotency-Key`
 * counts from then, and has not waited what the first one did (SAFETY S2). A session's own client numbers its requests, and counts from the first time.
 */
export function heardBy({ command, waitsSinceMs }: Arrival, answer: Answer, nowMs: number): Answer {
  if (!answer.ok || answer.type !== 'granted' || command.type !== 'acquire') return answer
  if (typeof command.request === 'number') return answer
  return { ...answer, waitedMs: Math.min(answer.waitedMs, Math.max(0, Math.floor(nowMs - waitsSinceMs))) }
}

/** Whether its wait is, or would be, one that nobody can ask for again at another owner. */
export function isUnnamed(arrival: Arrival): boolean {
  return arrival.keepsSessionAlive && !arrival.isDetached && !isRepeatable(arrival.command)
}

/** The open waits of one instance. */
export class Callers {
  readonly #waiting = new Map<number, Arrival[]>()
  /** Sessions that an open connection keeps alive, and by how many waits. */
  readonly #kept = new Map<string, number>()

  /** From now on this caller too hears how the wait ends: whoever asked the same before may be there as well, or not know yet that it is not. */
  attach(arrival: Arrival, wait: { ticket: number; session: string }): void {
    arrival.wait = wait
    for (const other of this.#waiting.get(wait.ticket) ?? []) if (other.isDetached) this.#forget(other)
    const callers = this.#waiting.get(wait.ticket)
    if (callers) callers.push(arrival)
    else this.#waiting.set(wait.ticket, [arrival])
    const first = callers && callers.length > CALLERS_OF_WAIT_MAX ? callers[0] : undefined
    if (first) {
      this.#forget(first)
      first.fail(new Superseded())
    }
    if (arrival.keepsSessionAlive) this.#kept.set(wait.session, (this.#kept.get(wait.session) ?? 0) + 1)
  }

  /** The callers of a wait that is over, those that are still there. */
  take(ticket: number): readonly Arrival[] {
    const callers = this.#waiting.get(ticket) ?? []
    for (const arrival of [...callers]) this.#forget(arrival)
    return callers
  }

  /** The caller has gone. Returns whether the wait is to be given up; until that is decided it may still be granted, and stands here. */
  release(arrival: Arrival): boolean {
    const callers = arrival.wait && this.#waiting.get(arrival.wait.ticket)
    if (!callers?.includes(arrival)) return false
    const isLast = arrival.keepsSessionAlive && callers.every(other => other === arrival || other.isDetached)
    if (!isLast) this.#forget(arrival)
    return isLast
  }

  /** Whether somebody is there who would hear how this wait ends. */
  isHeard(ticket: number): boolean {
    return this.#waiting.get(ticket)?.some(({ isDetached }) => !isDetached) ?? false
  }

  /** Waits that nobody could ask for again at another owner: no request id and no key names them. */
  *unnamed(): Generator<Arrival> {
    for (const [arrival] of this.#waiting.values()) if (arrival && isUnnamed(arrival)) yield arrival
  }

  isKept(session: string): boolean {
    return this.#kept.has(session)
  }

  failAll(error: HoldfastError): void {
    const all = [...this.#waiting.values()].flat()
    this.#waiting.clear()
    this.#kept.clear()
    for (const arrival of all) arrival.fail(error)
  }

  #forget(arrival: Arrival): void {
    const { wait } = arrival
    if (!wait) return
    const others = this.#waiting.get(wait.ticket)?.filter(other => other !== arrival) ?? []
    if (others.length > 0) this.#waiting.set(wait.ticket, others)
    else this.#waiting.delete(wait.ticket)
    if (!arrival.keepsSessionAlive) return
    const left = (this.#kept.get(wait.session) ?? 0) - 1
    if (left > 0) this.#kept.set(wait.session, left)
    else this.#kept.delete(wait.session)
  }
}

function hasLeftLine(answer: Answer): boolean {
  return !answer.ok && answer.code === 'lock_held' && answer.reason === 'cancelled'
}

/** One command made more than a batch holds: surely not written, and it never will be; the state that it was applied to is void. */
export function refuseTooLarge(
  arrival: Arrival,
  { bytesMax, telemetry }: { bytesMax: number; telemetry: ShardTelemetry },
): EngineRefusal {
  const text = `one command (${arrival.command.type}) would change more than one batch of the log can hold`
  telemetry.alarm({ what: text, error: null })
  arrival.fail(
    new HoldfastError('quota_exceeded', `This command is too large: ${text}.`, {
      details: { limit: 'batch_bytes', max: bytesMax },
    }),
  )
  return new EngineRefusal('too_large', text)
}
