/** Beats, deadlines, death, takeover, leaving: who may decide and who may answer. */
import type { Bug } from '../bug.ts'

const membership = 'packages/server/src/shards/membership.ts'
const ownership = 'packages/server/src/shards/ownership.ts'
const shards = 'packages/server/src/shards/shards.ts'
const observer = 'packages/server/src/shards/observer.ts'
const clock = 'packages/server/src/clock.ts'
const ownershipTest = 'packages/server/src/shards/ownership.test.ts'
const membershipTest = 'packages/server/src/shards/membership.test.ts'
const observerTest = 'packages/server/src/shards/observer.test.ts'
const turnTest = 'packages/server/src/shards/turn.test.ts'

const paused = 'a paused owner answers a renewal or a read only after a fresh beat'
const compared = 'return most(this.#options.clock, this.#lastBeat) < OWNER_DEADLINE_MS'

export const ownershipBugs: readonly Bug[] = [
  {
    id: 'server-named-by-its-name',
    rules: ['P5', 'O2', 'I2'],
    listed: 'B3',
    does: 'A server’s id is its name: a process that was started again passes for the one before, whose record and grants it takes for its own.',
    file: shards,
    find: '{randomHex(random, 8)}',
    replace: "{''}",
    test: {
      file: ownershipTest,
      name: 'a server that beats keeps its directory, also against a machine that knows nothing of its processes',
    },
  },
  {
    id: 'epoch-kept',
    rules: ['O2', 'I2', 'P12'],
    listed: 'B3',
    does: 'A takeover keeps the epoch: two owners count tokens from the same place.',
    file: ownership,
    find: 'epoch: epoch + 1 }',
    replace: 'epoch: Math.max(1, epoch) }',
    test: { file: ownershipTest, name: 'every start has an id and an epoch of its own' },
  },
  {
    id: 'deadline-from-the-reply',
    rules: ['P6', 'I21'],
    listed: 'B4',
    does: 'The owner counts from the reply to its beat: while the beat was slow it answers although others may have declared it dead.',
    file: membership,
    find: 'this.#lastBeat = sent\n',
    replace: 'this.#lastBeat = instant(clock)\n',
    test: { file: membershipTest, name: 'the owner’s deadline counts from before its beat was sent' },
  },
  {
    id: 'no-deadline',
    rules: ['P8', 'I21', 'I12'],
    listed: 'B4',
    does: 'An owner trusts itself for ever: one that was stopped and replaced answers the renewals that lie in its sockets.',
    file: membership,
    find: compared,
    replace: 'return true',
    test: { file: turnTest, name: paused },
  },
  {
    id: 'deadline-as-long-as-the-record',
    rules: ['P8', 'I21'],
    does: 'The owner’s deadline allows nothing for clocks that run at different rates: on a slow clock it answers after its takeover.',
    file: membership,
    find: '(MEMBER_TTL_MS * (1 - DRIFT)) / (1 + DRIFT) - GUARD_MS',
    replace: 'MEMBER_TTL_MS',
    test: { file: turnTest, name: paused },
  },
  {
    id: 'check-of-before-the-receipt',
    rules: ['P8', 'O9', 'I21'],
    listed: 'B5',
    does: 'The owner’s deadline is checked now and then, not after each receipt: what arrived after a pause is answered on a check made before it.',
    file: membership,
    find: compared,
    replace: `const self = this as unknown as { checkedMs?: number }
    const nowMs = this.#options.clock.hrtimeMs()
    if (self.checkedMs !== undefined && nowMs - self.checkedMs < 2_000) return true
    const isWithin = most(this.#options.clock, this.#lastBeat) < OWNER_DEADLINE_MS
    if (isWithin) self.checkedMs = nowMs
    return isWithin`,
    test: { file: membershipTest, name: 'a check that was made for one request does not serve a later one' },
  },
  {
    id: 'beat-under-way-trusted',
    rules: ['P8', 'I21'],
    listed: 'B4',
    does: 'A server that has sent a beat trusts itself until it knows what came of it: cut off from the store, it answers while another has taken over.',
    file: membership,
    find: '    if (this.#isOver || this.#lastBeat === null) return false\n',
    replace: '    if (this.#isOver || this.#lastBeat === null) return false\n    if (this.#beating) return true\n',
    test: {
      file: 'test/chaos/silence.test.ts',
      name: 'an owner that is cut off from the store answers nothing from memory when others may have taken over',
    },
  },
  {
    id: 'pause-pushes-the-deadline',
    rules: ['O9', 'P8', 'I21'],
    listed: 'B6',
    does: 'A timer that comes late moves the owner’s own deadline on by the gap, as if others had slept too.',
    file: membership,
    find: '      this.#rearm()\n      void this.#beat()',
    replace: `      this.#rearm()
      if (this.#lastBeat) this.#lastBeat = instant(this.#options.clock)
      void this.#beat()`,
    test: { file: membershipTest, name: 'a pause does not move the owner’s deadline' },
  },
  {
    id: 'suspension-not-seen',
    rules: ['P8', 'I21'],
    does: 'Only the clock that stops in a suspended machine is read: on resume the owner believes that no time has passed.',
    file: clock,
    find: 'return Math.max(clock.hrtimeMs() - since.hrtimeMs, clock.bootMs() - since.bootMs)',
    replace: 'return clock.hrtimeMs() - since.hrtimeMs',
    test: { file: membershipTest, name: 'an owner whose machine was suspended answers nothing before a fresh beat' },
  },
  {
    id: 'blind-beat',
    rules: ['P6', 'I21'],
    listed: 'B11',
    does: 'A beat writes the record without looking whose it is: a server that was declared dead comes back to life beside its successor.',
    file: membership,
    find: 'checks: [{ key, modRevision: this.#revision }],\n      writes: [{ key, value: record }],',
    replace: 'checks: [],\n      writes: [{ key, value: record }],',
    test: { file: turnTest, name: 'an owner that was declared dead during its pause answers nothing and ends' },
  },
  {
    id: 'death-survived',
    rules: ['P6', 'I21'],
    does: 'A beat that finds that the server was declared dead is taken for one more slow beat; the process goes on.',
    file: membership,
    find: 'return this.#end(new Error(',
    replace: 'return false && this.#end(new Error(',
    test: { file: turnTest, name: 'an owner that was declared dead during its pause answers nothing and ends' },
  },
  {
    id: 'beat-while-stuck',
    rules: ['I21', 'I8'],
    does: 'A server whose batch has been stuck for minutes goes on beating: nobody takes over, and nothing is granted.',
    file: membership,
    find: 'if (!this.#beating && !this.#options.isProgressing()) return Promise.resolve(false)',
    replace: '',
    test: { file: ownershipTest, name: 'no beat is sent while a batch is stuck' },
  },
  {
    id: 'beat-for-whoever-asks',
    rules: ['O13', 'I21', 'I8'],
    does: 'Only the timer holds back the beats of a server with a shard that is stuck: while another shard of it is asked for anything, nobody takes over.',
    file: membership,
    find: 'if (!(await this.#beat())) return false',
    replace: `const fresh = this.#beating ?? this.#commitBeat().finally(() => {
        this.#beating = null
      })
      this.#beating = fresh
      if (!(await fresh)) return false`,
    test: {
      file: 'packages/server/src/routing/routing.test.ts',
      name: 'a server with a shard that is stuck loses its shards to the others, whatever goes on in the rest of them',
    },
  },
  {
    id: 'two-beats-at-once',
    rules: ['P6'],
    does: 'A server that leaves while its store is slow sends two beats at once: the second finds the first, and it takes itself for dead.',
    file: membership,
    find: 'this.#beating ??= this.#commitBeat()',
    replace: 'this.#beating = this.#commitBeat()',
    test: {
      file: membershipTest,
      name: 'one beat is under way at a time: who waits for a fresh one and who announces that it leaves share it',
    },
  },
  {
    id: 'death-without-compare',
    rules: ['P7', 'I21'],
    listed: 'B11',
    does: 'A declaration of death deletes whatever the member record is by then: a server that has just beaten is dead and does not know.',
    file: ownership,
    find: 'checks: [{ key, modRevision: pair.modRevision }],',
    replace: 'checks: [],',
    test: { file: ownershipTest, name: 'of a beat and a declaration of death that race, one wins' },
  },
  {
    id: 'takeover-from-the-living',
    rules: ['P7', 'I21'],
    does: 'A takeover does not check that the server it takes from is gone.',
    file: ownership,
    find: '    ...(former ? [{ key: keys.member(former), modRevision: 0 }] : []),\n',
    replace: '',
    test: { file: ownershipTest, name: 'a takeover does not pass while the server it takes from has a member record' },
  },
  {
    id: 'takeover-without-compare',
    rules: ['P7', 'I19'],
    does: 'Of two servers that take a shard over at once both pass, under one epoch.',
    file: ownership,
    find: '    { key: keys.owner(shard), modRevision: revision },\n',
    replace: '',
    test: { file: membershipTest, name: 'a takeover does not pass when another was quicker' },
  },
  {
    id: 'observer-with-its-own-patience',
    rules: ['O10', 'P7', 'I21'],
    listed: 'B11',
    does: 'How long a silent server is waited for is the observer’s setting, not what the silent one wrote: after a rolling change it is replaced too early.',
    file: ownership,
    find: 'silentMs < member.memberTtlMs',
    replace: 'silentMs < 2_000',
    test: { file: membershipTest, name: 'how long a silent server is waited for is what its own record says' },
  },
  {
    id: 'silence-of-the-store-counted',
    rules: ['P7', 'I21'],
    does: 'Time in which the store answered nobody counts as the silence of a server: after an outage healthy servers are declared dead.',
    file: ownership,
    find: 'if (seenRevision !== 0 && membership.isWithinDeadline()) silentMs',
    replace: 'if (seenRevision !== 0) silentMs',
    test: { file: ownershipTest, name: 'its silence counts only while our own beats get through' },
  },
  {
    id: 'member-with-the-observers-patience',
    rules: ['O10', 'P7', 'I21'],
    does: 'How long a silent server of the cluster is waited for is the observer’s setting, not what the silent one wrote: after a rolling change it is replaced too early.',
    file: observer,
    find: 'before.silentMs < memberTtlMs',
    replace: 'before.silentMs < 2_000',
    test: {
      file: observerTest,
      name: 'a server of the cluster that is silent is waited for as long as its own record says',
    },
  },
  {
    id: 'outage-taken-for-a-death',
    rules: ['P7', 'I21'],
    does: 'A server counts the silence of the others while its own beats do not get through: after an outage of the store the first to beat declares all others dead.',
    file: observer,
    find: 'if (membership.isWithinDeadline()) before.silentMs',
    replace: 'before.silentMs',
    test: {
      file: observerTest,
      name: 'its silence counts only while our own beats get through, else it is the store that is silent',
    },
  },
  {
    id: 'second-process-let-in',
    rules: ['O12', 'I21'],
    does: 'A second process on the same directory takes over from one that is alive.',
    file: ownership,
    find: "if (state === 'alive' || isBeating) throw new DataDirectoryInUse(member)",
    replace: 'if (false) throw new DataDirectoryInUse(member)',
    test: {
      file: ownershipTest,
      name: 'a process that lives keeps its directory, and the other is told who it is',
    },
  },
  {
    id: 'hand-over-before-the-batch',
    rules: ['P11', 'I19', 'I18'],
    does: 'A server that stops gives its shard away while its last batch is in flight.',
    file: 'packages/server/src/shards/shard.ts',
    find: 'if (this.#isBusy) await new Promise<void>(resolve => this.#idle.push(resolve))',
    replace: '',
    test: {
      file: membershipTest,
      name: 'a server leaves in good order: what is in flight, then the shard, then its own record',
    },
  },
  {
    id: 'record-removed-first',
    rules: ['P11', 'I21'],
    does: 'A server that stops removes its member record before its shards are given up: another takes over while it still commits.',
    file: shards,
    find: `    await this.#host?.closeAll()
    // Last: while the record stands, nobody takes over from us.
    await this.#membership.leave()`,
    replace: `    await this.#membership.leave()
    await this.#host?.closeAll()`,
    test: {
      file: membershipTest,
      name: 'a server leaves in good order: what is in flight, then the shard, then its own record',
    },
  },
  {
    id: 'tokens-of-a-backup-not-looked-at',
    rules: ['O4', 'I2'],
    does: 'A restore goes by what the owner record says alone: tokens that the backup itself has are given out again.',
    file: 'packages/server/src/shards/restoring.ts',
    find: 'Math.max(owner?.epoch ?? 0, Math.floor(lastNumber / NUMBERS_PER_EPOCH))',
    replace: '(owner?.epoch ?? 0) + 0 * lastNumber',
    test: {
      file: 'packages/server/src/shards/restoring.test.ts',
      name: 'tokens of the backup that are above what its owner record says are passed too',
    },
  },
]
