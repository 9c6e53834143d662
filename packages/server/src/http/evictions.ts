/**
 * A credential that was revoked with its sessions: what they hold is released, as by force. Every server asks for it when it hears of the
 * revocation, for the one that wrote it may be gone; a second time comes to the same. And again after a while, for until then a server that
 * had not heard of it yet may have opened another session: one that is cut off from the store goes by what it knew for longer. Ended is
 * what that key has opened: the one that replaced it has the same subject, and goes on.
 */
import type { Clock } from '../clock.ts'
import type { Command } from '../locks/model.ts'
import { VIEW_MS_MAX } from '../registry/freshness.ts'
import type { Put, Registry } from '../registry/port.ts'
import type { CredentialRecord } from '../registry/records.ts'
import type { Asking, Shards } from '../shards/port.ts'

/** By then every server that reaches the store knows of a change; one that does not decides nothing any more, and has ended what was open. */
const LATER_MS = [3_000, VIEW_MS_MAX + 5_000]
/** While there is more, or the owner is changing. */
const AGAIN_MS = 200
/** Half a minute of trying. */
const TRIES_MAX = 150

type Options = { registry: Registry; shards: Pick<Shards, 'submit'>; clock: Pick<Clock, 'after'> }

export class Evictions {
  readonly #options: Options
  readonly #stop: () => void
  #isClosed = false

  constructor(options: Options) {
    this.#options = options
    this.#stop = options.registry.onChange(puts => {
      for (const put of puts) if (isRevoked(put)) this.#begin(put.value)
    })
    // Whoever wrote it may have ended before all of it was released: it may have been this server.
    for (const value of options.registry.all('credential'))
      if (isRevoked({ kind: 'credential', id: value.id, value })) this.#evict(value, TRIES_MAX)
  }

  close(): void {
    this.#isClosed = true
    this.#stop()
  }

  #begin(record: CredentialRecord): void {
    this.#evict(record, TRIES_MAX)
    for (const ms of LATER_MS) this.#options.clock.after(ms, () => this.#evict(record, TRIES_MAX))
  }

  #evict(record: CredentialRecord, triesLeft: number): void {
    if (this.#isClosed || triesLeft === 0) return
    const again = () => this.#options.clock.after(AGAIN_MS, () => this.#evict(record, triesLeft - 1))
    const asking: Asking = {
      answer: reply => void (reply.ok && reply.type === 'released' && reply.left > 0 && again()),
      fail: () => void again(),
    }
    const { id: credential, subject, instance } = record
    const reason = 'The credential has been revoked.'
    const isShared = this.#isShared(record)
    const command: Command = { type: 'evict', by: 'service', subject, credential, isShared, reason }
    this.#options.shards.submit(instance, command, asking)
  }

  /** Whether the subject is another's too: of a session that does not say its key, this one need not be it. What a key's own subject says is its. */
  #isShared({ id, subject, instance }: CredentialRecord): boolean {
    if (subject === `key:${id}`) return false
    for (const other of this.#options.registry.all('credential'))
      if (other.subject === subject && other.instance === instance && other.id !== id && other.state === 'active')
        return true
    return false
  }
}

function isRevoked(put: Put): put is Put & { kind: 'credential'; value: CredentialRecord } {
  return put.kind === 'credential' && put.value?.state === 'revoked' && put.value.endsSessions === true
}
