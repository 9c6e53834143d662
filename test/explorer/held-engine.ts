/**
 * A store of which every call is in the hands of whoever explores: it is sent, later it is applied, later its answer is heard; or it is lost before or
 * after, and what was applied can be applied again. Nothing happens by itself.
 */
import { hash } from 'node:crypto'
import type { CommitRequest, CommitResult, Engine, ListOptions } from '../../packages/server/src/engine/engine.ts'
import type { MemoryStore } from '../../packages/server/src/engine/memory/store.ts'

type Call = {
  number: number
  /** For people, and for the digest of the state. */
  what: string
  apply: () => unknown
  state: 'sent' | 'applied'
  answer: unknown
  text: string
  isCommit: boolean
  resolve: (answer: never) => void
  reject: (error: Error) => void
}

export type HeldOptions = {
  store: MemoryStore
  name: string
  /** Hears of each commit that passed. */
  passed(request: CommitRequest): void
  /** How often each of these may befall its commits. */
  losses: number
  repeats: number
}

export class HeldEngine implements Engine {
  readonly name = 'memory'
  readonly #options: HeldOptions
  #calls: Call[] = []
  #made = 0
  #losses: number
  #repeats: number
  /** Commits that were applied, to be applied again. */
  #done: { number: number; what: string; apply: () => unknown }[] = []
  /** What this process has heard, in order: all that it knows. */
  #heard = ''
  isDead = false

  constructor(options: HeldOptions) {
    this.#options = options
    this.#losses = options.losses
    this.#repeats = options.repeats
  }

  commit(request: CommitRequest): Promise<CommitResult> {
    const sent = { checks: request.checks.map(check => ({ ...check })), writes: [...request.writes] }
    const what = sent.writes.map(write => ('from' in write ? `${write.from}..` : write.key)).join()
    return this.#call(`commit ${what}`, true, () => {
      const result = this.#options.store.commit(sent)
      if (result.ok) this.#options.passed(sent)
      return result
    })
  }

  /** Reads are answered with what is there when they are applied. */
  read: Engine['read'] = key => this.#call(`read ${key}`, false, () => this.#options.store.get(key))
  list: Engine['list'] = (options: ListOptions) =>
    this.#call(`list ${options.prefix}`, false, () => this.#options.store.list(options))
  async *watch(): AsyncIterable<void> {}
  async size() {
    return { usedBytes: 0, liveBytes: 0, quotaBytes: null }
  }
  async close(): Promise<void> {}

  /** Steps that concern this process's calls. */
  steps(): string[] {
    const { name } = this.#options
    const steps: string[] = []
    for (const { number, state, isCommit } of this.#calls) {
      if (state === 'sent') steps.push(`${name} ${number} is applied`)
      if (this.isDead) continue
      if (state === 'applied') steps.push(`${name} hears ${number}`)
      if (isCommit && this.#losses > 0) steps.push(`${name} gives up ${number}`)
    }
    if (this.#repeats > 0) for (const { number } of this.#done) steps.push(`${name} ${number} is applied again`)
    return steps
  }

  /** Returns whether the step was one of its own. */
  take(step: string): boolean {
    const match = /^(\S+) (?:(hears|gives up) (\d+)|(\d+) is applied( again)?)$/.exec(step)
    if (match?.[1] !== this.#options.name) return false
    const number = Number(match[3] ?? match[4])
    if (match[5]) {
      this.#repeats--
      this.#done.find(done => done.number === number)?.apply()
      return true
    }
    const call = this.#calls.find(one => one.number === number)
    if (!call) throw new Error(`there is no call ${step}`)
    if (match[4]) this.#apply(call)
    else if (match[2] === 'hears') this.#hear(call)
    else this.#giveUp(call)
    return true
  }

  state(): string {
    const calls = this.#calls.map(({ what, state, text }) => `${what} ${state} ${text}`)
    const done = this.#repeats > 0 ? this.#done.map(({ what }) => what) : []
    return JSON.stringify([this.isDead, this.#losses, this.#repeats, this.isDead ? '' : this.#heard, calls, done])
  }

  /** Something has reached the process. */
  hears(what: string): void {
    this.#heard = hash('sha1', `${this.#heard} ${what}`)
  }

  #call<Result>(what: string, isCommit: boolean, apply: () => Result): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#calls.push({
        number: ++this.#made,
        what,
        apply,
        state: 'sent',
        answer: undefined,
        text: '',
        isCommit,
        resolve,
        reject,
      })
    })
  }

  #apply(call: Call): void {
    call.answer = call.apply()
    call.text = textOf(call.answer)
    call.state = 'applied'
    if (call.isCommit) this.#done.push(call)
    if (this.isDead) this.#remove(call)
  }

  #hear(call: Call): void {
    this.#remove(call)
    this.hears(`${call.what}: ${call.text}`)
    call.resolve(call.answer as never) // of the kind that was asked for
  }

  /** Its request may yet arrive, if it has not. */
  #giveUp(call: Call): void {
    this.#losses--
    this.hears(`${call.what}: nothing`)
    call.isCommit = false
    if (call.state === 'applied') this.#remove(call)
    call.reject(new Error('no answer'))
    call.reject = () => undefined
    // Heard by nobody any more.
    call.apply = forgetful(call, () => this.#remove(call))
  }

  #remove(call: Call): void {
    this.#calls = this.#calls.filter(one => one !== call)
  }
}

function forgetful(call: Call, remove: () => void): () => unknown {
  const { apply } = call
  return () => {
    const answer = apply()
    remove()
    return answer
  }
}

/** Without revisions as numbers: what matters of them is in the order of what was heard. */
function textOf(answer: unknown): string {
  return (
    JSON.stringify(answer, (_, value) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value,
    ) ?? ''
  )
}
