/**
 * What must be true of owners and holders at every moment. The log is judged as everywhere (I1, I2, I15, I19, I20); beside it stand the clocks:
 * nobody may answer when another may have taken over (I21), nobody believes in what has ended (I9), no two believe at once (I4), and what was
 * acknowledged is in the log (I5).
 */
import type { CommitRequest } from '../../../packages/server/src/engine/engine.ts'
import type { Answer } from '../../../packages/server/src/shards/port.ts'
import { Violation } from '../../checker/judge.ts'
import { LogWitness } from '../../checker/log.ts'
import type { Holder } from './client.ts'
import { INSTANCE, keys, type OwnerServer, ROOT } from './server.ts'

export class Witness {
  readonly #log = new LogWitness(ROOT, () => undefined)
  /** When each ownership began, oldest first. */
  readonly #takeovers: { epoch: number; moment: number }[] = []
  /** Batches after which it was last seen that the log says what it should. */
  #compared = 0
  /** Counts the steps. */
  moment = 0

  get epoch(): number {
    return this.#takeovers.at(-1)?.epoch ?? 0
  }

  /** A commit has been applied. */
  passed(request: Pick<CommitRequest, 'writes'>, by: OwnerServer | null, servers: readonly OwnerServer[]): void {
    const { takeovers } = this.#log.counts
    this.#log.passed(request, by?.id ?? null)
    if (this.#log.counts.takeovers > takeovers) this.#takeovers.push({ epoch: this.epoch + 1, moment: this.moment })
    for (const write of request.writes) {
      if (!('delete' in write) || !('key' in write)) continue
      const dead = servers.find(server => keys.member(server.id) === write.key)
      if (dead && dead !== by && dead.mayAnswer)
        throw new Violation(`I21: ${by?.name} has declared ${dead.name} dead, which answers from memory`)
    }
  }

  /** The session of this client has not ended by the log. */
  isLive({ session }: Holder): boolean {
    return this.#log.judge(INSTANCE).sessions.has(session)
  }

  /** For how long the session of this client is recorded. */
  ttlMs({ session }: Holder): number {
    return this.#log.judge(INSTANCE).sessions.get(session)?.ttlMs ?? 0
  }

  get isFree(): boolean {
    return [...this.#log.judge(INSTANCE).grants.values()].every(holders => holders.size === 0)
  }

  /** How many ownerships had begun by then. */
  ownershipsAt(moment: number): number {
    return this.#takeovers.filter(takeover => takeover.moment < moment).length
  }

  answered(server: OwnerServer, answer: Answer, sentMoment: number): void {
    if (!answer.ok) return
    if (answer.type === 'renewed') {
      const next = this.#takeovers.find(({ epoch }) => epoch > answer.epoch)
      if (next && next.moment < sentMoment)
        throw new Violation(`I21: ${server.name} has answered, in epoch ${answer.epoch}, what was sent after its end`)
    }
    if (answer.type !== 'granted') return
    const { grants } = this.#log.judge(INSTANCE)
    for (const { lock, token } of answer.grants)
      if (!grants.get(lock)?.has(token))
        throw new Violation(`I5: ${lock} (${token}) was granted, and is not in the log`)
  }

  /** After each step. */
  look(servers: readonly OwnerServer[], holders: readonly Holder[]): void {
    for (const server of servers) {
      if (server.mayAnswer && server.epoch < this.epoch)
        throw new Violation(`I21: ${server.name} answers from memory in epoch ${server.epoch} of ${this.epoch}`)
    }
    const believing = holders.filter(holder => holder.believes)
    for (const holder of believing)
      if (!this.isLive(holder)) throw new Violation(`I9: ${holder.name} believes, and its session has ended`)
    if (believing.length > 1) throw new Violation(`I4: ${believing.map(({ name }) => name).join(' and ')} both believe`)
    if (this.#log.counts.batches > this.#compared) this.#log.compareFolds()
    this.#compared = this.#log.counts.batches
  }
}
