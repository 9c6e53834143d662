/**
 * Whether it is still the same store, and still ahead of what it was. Every response names its cluster and its revision.
 *
 * A restore from a backup takes a store back in time while its clients are connected: what had been acknowledged is gone, and numbers are
 * given out again. The only right thing is to stop. But an answer can be old for a smaller reason: a member that lags may serve a stale
 * "linearizable" read (etcd-io/etcd#20418, before 3.5.28 and 3.6.9). What tells them apart is a write: it is carried out at its place in
 * the log of all members, so if its answer is older than what had been seen *before it was sent*, the store itself has gone back.
 */
import { EngineFatal } from '../engine.ts'
import type { Header } from './calls.ts'

export class Continuity {
  #clusterId: bigint | null
  #revision: number

  /** With what an earlier start of this server has seen, if that is known. */
  constructor(known: { clusterId: bigint; revision: number } | null = null) {
    this.#clusterId = known?.clusterId ?? null
    this.#revision = known?.revision ?? 0
  }

  /** The highest revision seen. To be read before a request is sent. */
  get revision(): number {
    return this.#revision
  }

  get clusterId(): bigint | null {
    return this.#clusterId
  }

  /** Returns the response's revision. @throws EngineFatal when it comes from another cluster. */
  saw(header: Header | null): number {
    if (!header) throw new Error('etcd answered without a header')
    this.#clusterId ??= header.clusterId
    if (header.clusterId !== this.#clusterId) {
      throw new EngineFatal(
        `etcd answers as cluster ${hex(header.clusterId)}, and was ${hex(this.#clusterId)}: it is not the store that this server was started on`,
      )
    }
    this.#revision = Math.max(this.#revision, header.revision)
    return header.revision
  }

  /** Of a write. @throws EngineFatal when the store has gone back in time. */
  sawWrite(header: Header | null, floor: number): number {
    const revision = this.saw(header)
    if (revision < floor) {
      throw new EngineFatal(
        `etcd is at revision ${revision}, and was at ${floor}: it has gone back in time, as after a restore. What was acknowledged since may be gone`,
      )
    }
    return revision
  }
}

const hex = (id: bigint) => id.toString(16)
