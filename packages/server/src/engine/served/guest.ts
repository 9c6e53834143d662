/**
 * A store that another process holds, as an engine: over the socket at which that process serves it (`serve.ts`).
 *
 * A connection that breaks, or an answer that does not come in time, leaves the outcome of what was in flight unknown, and that is what is thrown. What is asked
 * afterwards is `EngineFatal`: the socket is that of one process and does not come back, so to ask again would be to ask for ever.
 */
import { stat } from 'node:fs/promises'
import { createConnection, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { type Clock, pause, systemClock } from '../../clock.ts'
import {
  type CommitRequest,
  type CommitResult,
  type Engine,
  EngineFatal,
  EngineRefusal,
  type EngineSize,
  EngineUnavailable,
  type KeyValue,
  type Listing,
  type ListOptions,
} from '../engine.ts'
import { refuseCommit, refuseKey, refuseListing } from '../request.ts'
import {
  type Answered,
  type Asked,
  encode,
  type HolderAnswer,
  messagesIn,
  type Pairs,
  toldError,
  VERSION,
} from './messages.ts'

/** A disk that takes its time, or a process that has been stopped for a moment, answers by then. */
export const ANSWER_MS_MAX = 30_000
/** How often a watch looks. Nobody who must be quick is a guest. */
const WATCH_MS = 250

/** The connection ended before the answer came: what was asked may have been done, may still be done, or never. */
export class GuestCutOff extends EngineUnavailable {
  override readonly name = 'GuestCutOff'
}

/** Rejects when nobody serves at `path`, when there are too many guests already, or when the two are not of one version. */
export async function openGuest(path: string, clock: Clock = systemClock): Promise<Engine> {
  await refuseForeign(path)
  const guest = new Guest(await connected(path), clock)
  try {
    await guest.greet()
    return guest
  } catch (error) {
    await guest.close()
    throw error
  }
}

/**
 * The path was written down by a process that may have ended since, and the folder was made where everybody may make one: whoever made one of the
 * same name could pass for the store. Root, for whom others' folders are as good as its own, is not kept from anything.
 */
async function refuseForeign(path: string): Promise<void> {
  // The pipes of Windows lie in no folder.
  if (process.platform === 'win32') return
  const { uid, mode } = await stat(dirname(path))
  const own = process.geteuid?.() ?? uid
  if ((uid === own || own === 0) && (mode & 0o077) === 0) return
  throw new Error(`${dirname(path)} is not a private folder of this user: whoever serves a store there is not believed`)
}

async function connected(path: string): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const socket = createConnection(path, resolve).on('error', reject)
  await promise
  return socket
}

type Open = {
  /** What has come of the answer so far. */
  pairs: Pairs
  resolve(answer: { pairs: Pairs; result: Answered[keyof Answered] }): void
  reject(error: Error): void
}

class Guest implements Engine {
  readonly name = 'lmdb'
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #open = new Map<number, Open>()
  /** Settle with the requests that are open. */
  readonly #settling = new Set<Promise<unknown>>()
  readonly #listening: Promise<void>
  #lastNumber = 0
  #gone: EngineFatal | null = null
  #isClosed = false

  constructor(socket: Socket, clock: Clock) {
    this.#socket = socket
    this.#clock = clock
    this.#listening = this.#listen()
  }

  async greet(): Promise<void> {
    await this.#ask({ operation: 'hello', version: VERSION })
  }

  async read(key: string, { atLeast = 0 }: { atLeast?: number } = {}): Promise<KeyValue | null> {
    refuseKey(key)
    return (await this.#ask({ operation: 'read', key, atLeast })).result
  }

  async list(options: ListOptions): Promise<Listing> {
    refuseListing(options)
    const { pairs, result } = await this.#ask({ operation: 'list', options })
    return { pairs: pairs.filter(pair => pair !== null), ...result }
  }

  async commit(request: CommitRequest): Promise<CommitResult> {
    refuseCommit(request)
    const { pairs, result } = await this.#ask({ operation: 'commit', request })
    const { ok, revision } = result
    return ok ? { ok, revision } : { ok, revision, found: pairs }
  }

  /** By looking at the revision of the whole store, so most hints are of other prefixes; the first comes at once. */
  async *watch({ signal }: { prefix: string; signal: AbortSignal }): AsyncIterable<void> {
    for (let seen: number | null = null; !signal.aborted && !this.#isClosed; ) {
      const { revision } = await this.commit({ checks: [], writes: [] })
      if (revision === seen) await pause(this.#clock, WATCH_MS, signal)
      else yield
      seen = revision
    }
  }

  async size(): Promise<EngineSize> {
    return (await this.#ask({ operation: 'size' })).result
  }

  async close(): Promise<void> {
    this.#isClosed = true
    // What they came to has been told to those who asked.
    await Promise.allSettled(this.#settling)
    this.#socket.destroy()
    await this.#listening
  }

  async #ask<Request extends Asked>(asked: Request): Promise<{ pairs: Pairs; result: Answered[Request['operation']] }> {
    if (this.#isClosed) throw new EngineRefusal('bad_request', 'the engine has been closed')
    if (this.#gone) throw this.#gone
    const number = ++this.#lastNumber
    const frame = encode({ number, ...asked })
    const { promise, resolve, reject } = Promise.withResolvers<{ pairs: Pairs; result: Answered[keyof Answered] }>()
    this.#open.set(number, { pairs: [], resolve, reject })
    this.#settling.add(promise)
    const stopTimer = this.#clock.after(ANSWER_MS_MAX, () => this.#leaveUnlessAnswered(number))
    try {
      this.#socket.write(frame)
      // The answer to this operation is what the other side has written, which is of this version: it has said so.
      return (await promise) as { pairs: Pairs; result: Answered[Request['operation']] }
    } finally {
      stopTimer()
      this.#settling.delete(promise)
    }
  }

  /** Never rejects. */
  async #listen(): Promise<void> {
    try {
      for await (const message of messagesIn(this.#socket)) this.#take(message as HolderAnswer) // of this version, as above
      this.#leave('has ended the connection')
    } catch (error) {
      this.#leave(`cannot be reached any more (${error instanceof Error ? error.message : String(error)})`)
    }
  }

  #take(answer: HolderAnswer): void {
    const open = this.#open.get(answer.number)
    if (!open) throw new Error(`an answer to ${answer.number}, which was not asked`)
    if ('pairs' in answer) {
      for (const pair of answer.pairs) open.pairs.push(pair)
      return
    }
    this.#open.delete(answer.number)
    if ('error' in answer) open.reject(toldError(answer.error))
    else open.resolve({ pairs: open.pairs, result: answer.result })
  }

  #leaveUnlessAnswered(number: number): void {
    // It may be this process that was stopped: then the answer lies in the socket.
    this.#clock.afterPoll(() => {
      if (this.#open.has(number)) this.#leave(`has not answered for ${ANSWER_MS_MAX / 1_000} s`)
    })
  }

  #leave(why: string): void {
    this.#gone ??= new EngineFatal(`The process that holds the store ${why}.`)
    this.#socket.destroy()
    for (const { reject } of this.#open.values()) {
      reject(new GuestCutOff(`The process that holds the store ${why}; what was asked of it may have been done.`))
    }
    this.#open.clear()
  }
}
