/** What can be asked of etcd, by name. Nothing here is repeated: who asks for a change finds out by another call whether it was made. */
import { alarmAction, alarmType, methods } from './messages.ts'
import type { Message, Method, Received, ToSend } from './wire.ts'

export type Name = keyof typeof methods
export type RequestOf<Of extends Name> = ToSend<(typeof methods)[Of]['request']>
export type ReplyOf<Of extends Name> = Received<(typeof methods)[Of]['reply']>
export type Header = NonNullable<ReplyOf<'range'>['header']>
export type Member = ReplyOf<'memberList'>['members'][number]
export type Status = ReplyOf<'status'>

export type Ask = <Request extends Message, Reply extends Message>(
  method: Method<Request, Reply>,
  request: ToSend<Request>,
  timeoutMs: number,
) => Promise<Received<Reply>>

/** What a member answers from memory, or a small commit. */
const QUICK_MS = 2_000
/** Reading all keys, or moving the leadership. */
const SLOW_MS = 30_000
/** A member answers nothing else until it has rewritten its whole file. */
const DEFRAGMENT_MS = 10 * 60_000

/** @throws EtcdError, every method. */
export class Calls {
  readonly #ask: Ask
  constructor(ask: Ask) {
    this.#ask = ask
  }

  range(request: RequestOf<'range'>, timeoutMs = QUICK_MS) {
    return this.#ask(methods.range, request, timeoutMs)
  }
  /** Of one that fails nobody knows whether it was committed, but for the kinds that `errors.ts` calls definite. */
  txn(request: RequestOf<'txn'>, timeoutMs = QUICK_MS) {
    return this.#ask(methods.txn, request, timeoutMs)
  }
  /** What was superseded before `revision` can be read no more. */
  compact(revision: number, timeoutMs = SLOW_MS) {
    return this.#ask(methods.compact, { revision }, timeoutMs)
  }

  /** The member's own view; answers also without a quorum. */
  status(timeoutMs = QUICK_MS) {
    return this.#ask(methods.status, {}, timeoutMs)
  }
  async alarms(timeoutMs = QUICK_MS) {
    return (await this.#ask(methods.alarm, { action: alarmAction.GET }, timeoutMs)).alarms
  }
  /** Of one member, as `alarms` tells it. */
  async disarm({ memberId, alarm }: { memberId: bigint; alarm: keyof typeof alarmType }, timeoutMs = QUICK_MS) {
    const request = { action: alarmAction.DEACTIVATE, memberID: memberId, alarm: alarmType[alarm] }
    return (await this.#ask(methods.alarm, request, timeoutMs)).alarms
  }
  defragment(timeoutMs = DEFRAGMENT_MS) {
    return this.#ask(methods.defragment, {}, timeoutMs)
  }
  /** Of all keys up to `revision` (0: the newest), as this member has them. */
  hashKv(revision: number, timeoutMs = SLOW_MS) {
    return this.#ask(methods.hashKV, { revision }, timeoutMs)
  }
  /** Only the leader does it. */
  moveLeader(targetId: bigint, timeoutMs = SLOW_MS) {
    return this.#ask(methods.moveLeader, { targetID: targetId }, timeoutMs)
  }

  async memberList({ isLinearizable }: { isLinearizable: boolean }, timeoutMs = QUICK_MS): Promise<Member[]> {
    return (await this.#ask(methods.memberList, { linearizable: isLinearizable }, timeoutMs)).members
  }
  memberAdd({ peerUrls, isLearner }: { peerUrls: string[]; isLearner: boolean }, timeoutMs = SLOW_MS) {
    return this.#ask(methods.memberAdd, { peerURLs: peerUrls, isLearner }, timeoutMs)
  }
  async memberRemove(id: bigint, timeoutMs = SLOW_MS): Promise<Member[]> {
    return (await this.#ask(methods.memberRemove, { id }, timeoutMs)).members
  }
  async memberPromote(id: bigint, timeoutMs = SLOW_MS): Promise<Member[]> {
    return (await this.#ask(methods.memberPromote, { id }, timeoutMs)).members
  }
  async memberUpdate({ id, peerUrls }: { id: bigint; peerUrls: string[] }, timeoutMs = SLOW_MS): Promise<Member[]> {
    return (await this.#ask(methods.memberUpdate, { id, peerURLs: peerUrls }, timeoutMs)).members
  }
}
