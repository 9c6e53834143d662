/** Turns, time, events: what leaves a shard, and when. */
import type { Bug } from '../bug.ts'

const shard = 'packages/server/src/shards/shard.ts'
const turn = 'packages/server/src/shards/turn.ts'
const timers = 'packages/server/src/shards/timers.ts'
const shardClock = 'packages/server/src/shards/shard-clock.ts'
const instance = 'packages/server/src/shards/instance.ts'
const feed = 'packages/server/src/shards/feed.ts'
const turnTest = 'packages/server/src/shards/turn.test.ts'
const timersTest = 'packages/server/src/shards/timers.test.ts'
const promisesTest = 'packages/server/src/shards/promises.test.ts'
const cleanerTest = 'packages/server/src/shards/cleaner.test.ts'
const feedTest = 'packages/server/src/shards/feed.test.ts'

const nothingLeaves = 'nothing leaves before its batch is durable: no grant, refusal, read, renewal, event or push'

export const shardBugs: readonly Bug[] = [
  {
    id: 'answered-before-durable',
    rules: ['P2', 'I5', 'I16', 'I18'],
    does: 'Answers do not wait for the commit: a crash takes back what was acknowledged.',
    file: 'packages/server/src/shards/committing.ts',
    find: 'await working.log.append(bytes, working.ownership, cleaned)',
    replace: 'void working.log.append(bytes, working.ownership, cleaned)',
    test: { file: turnTest, name: nothingLeaves },
  },
  {
    id: 'acknowledged-before-durable',
    rules: ['I16', 'I5', 'P2'],
    does: 'Answers leave when their turn is closed, and its batch is written then.',
    file: shard,
    find: 'await commitTurn({',
    replace: 'turn.leave(this.#options.push)\n      await commitTurn({',
    test: { file: turnTest, name: nothingLeaves },
  },
  {
    id: 'numbers-given-out-again',
    rules: ['I2', 'P3'],
    does: 'After a refusal numbers go on from what is left in the log: one that belonged to a grant of several permits is given to another.',
    file: 'packages/server/src/shards/working.ts',
    find: 'numbersFrom: options.numbersFrom ?? 0,',
    replace: 'numbersFrom: 0,',
    test: {
      file: turnTest,
      name: 'a command that is too large for a batch is refused for good, and the shard goes on',
    },
  },
  {
    id: 'numbers-go-with-the-instance',
    rules: ['I2', 'I17'],
    does: 'With an instance that rests it is forgotten how far its numbers went: the same tokens are given out once more.',
    file: 'packages/server/src/shards/working.ts',
    find: 'working.numbersFrom = Math.max(working.numbersFrom, state.lastNumber)',
    replace: 'void state.lastNumber',
    test: {
      file: 'packages/server/src/shards/resting.test.ts',
      name: 'of an instance that was used and is not any more nothing stays in memory but how far its numbers went',
    },
  },
  {
    id: 'instances-pile-up',
    rules: ['I17'],
    does: 'Every instance that was ever used takes memory for as long as its shard stays.',
    file: 'packages/server/src/shards/shard.ts',
    find: 'giveBackResting(working, clock.hrtimeMs())',
    replace: 'void giveBackResting',
    test: {
      file: 'packages/server/src/shards/resting.test.ts',
      name: 'of an instance that was used and is not any more nothing stays in memory but how far its numbers went',
    },
  },
  {
    id: 'refusals-and-reads-at-once',
    rules: ['P2', 'I12'],
    does: 'A refusal or a read leaves when it is decided: it tells of a grant that may never have happened.',
    file: turn,
    find: "if (reply.ok !== 'queued') this.#outcomes.push({ arrival, reply })",
    replace: `if (reply.ok !== 'queued' && entries.length === 0) arrival.answer(reply)
    else if (reply.ok !== 'queued') this.#outcomes.push({ arrival, reply })`,
    test: { file: turnTest, name: nothingLeaves },
  },
  {
    id: 'events-before-durable',
    rules: ['P2', 'I13'],
    does: 'Watchers hear of what is being written before it is.',
    file: 'packages/server/src/shards/committing.ts',
    find: 'await working.log.append(bytes, working.ownership, cleaned)',
    replace: `options.feed.publish({ seq: chunk.seq, at: turn.moment.at }, chunk.written)
      await working.log.append(bytes, working.ownership, cleaned)`,
    test: { file: turnTest, name: nothingLeaves },
  },
  {
    id: 'state-kept-after-a-refusal',
    rules: ['P3', 'O14', 'I18'],
    does: 'A commit that was refused for good leaves the state as it was decided: what was reported as failed is true all the same.',
    file: shard,
    find: 'await this.#drop(error)',
    replace: 'if (!(error instanceof EngineRefusal)) await this.#drop(error)',
    test: {
      file: turnTest,
      name: 'a command that is too large for a batch is refused for good, and the shard goes on',
    },
  },
  {
    id: 'command-larger-than-a-batch',
    rules: ['O14', 'I8'],
    does: 'Nobody looks whether one command fits one batch: the store refuses it, its caller asks again, and so on.',
    file: turn,
    find: 'if (encoded.length * BYTES_PER_UNIT_MAX > roomBytes && Buffer.byteLength(encoded) > roomBytes) {',
    replace: 'if (false) {',
    test: {
      file: turnTest,
      name: 'a command that is too large for a batch is refused for good, and the shard goes on',
    },
  },
  {
    id: 'decided-but-not-written',
    rules: ['I5', 'I20'],
    does: 'A grant is decided, answered, and not in the log: the next owner gives the lock to somebody else.',
    file: turn,
    find: 'chunk.text.add(instance.name, encoded)',
    replace: "if (arrival.command.type !== 'acquire') chunk.text.add(instance.name, encoded)",
    test: {
      file: 'packages/server/src/shards/shards.test.ts',
      name: 'what was granted on disk is held after a restart, with a larger token for the next',
    },
  },
  {
    id: 'read-without-trust',
    rules: ['P8', 'I12', 'I21'],
    does: 'What is answered from memory is answered by an owner that may have been replaced.',
    file: shard,
    find: 'if (turn.asked > 0 && !(await',
    replace: 'if (turn.asked < 0 && !(await',
    test: { file: turnTest, name: 'a paused owner answers a renewal or a read only after a fresh beat' },
  },
  {
    id: 'append-extends-the-deadline',
    rules: ['P6', 'I21'],
    listed: 'B7',
    does: 'A batch that was written counts as proof of life: others, who look at beats, declare a server dead that goes on answering.',
    file: shard,
    find: 'if (turn.asked > 0 && !(await',
    replace: 'if (turn.asked > 0 && working.appendedBytes === 0 && !(await',
    test: { file: turnTest, name: 'appends do not extend the deadline of the owner' },
  },
  {
    id: 'renewed-while-its-end-is-in-flight',
    rules: ['P9', 'O7', 'I9'],
    listed: 'B8',
    does: 'A renewal is answered from what memory said before the batch in flight: its client believes a whole TTL beyond the end of its session.',
    file: shard,
    find: '    this.#queue.push(arrival)\n',
    replace: `    if (command.type === 'renew' && this.#isBusy && asking) {
      const confers = { ttlMs: 1_000, changes: 0 }
      const { session } = command
      this.#options.clock.afterPoll(() => arrival.answer({ ok: true, type: 'renewed', session, confers, grants: null, epoch: 1 }))
      return arrival
    }
    this.#queue.push(arrival)
`,
    test: { file: turnTest, name: 'a renewal that meets the end of its session in flight waits and is told the truth' },
  },
  {
    id: 'deadline-moved-back',
    rules: ['O8', 'P9', 'I9'],
    listed: 'B9',
    does: 'A renewal for a shorter time ends what an earlier one has promised.',
    file: instance,
    find: 'session.deadlineMs = Math.max(session.deadlineMs, nowMs + (ttlMs ?? session.record.ttlMs))',
    replace: 'session.deadlineMs = nowMs + (ttlMs ?? session.record.ttlMs)',
    test: { file: promisesTest, name: 'a renewal for a shorter time moves no deadline back' },
  },
  {
    id: 'rest-of-the-time-kept',
    rules: ['P10', 'I9'],
    listed: 'B10',
    does: 'A new owner gives a session what it had left, by the log: renewals since then are forgotten.',
    file: shard,
    find: 'instance.timers.restart(working.clock.now())',
    replace: 'instance.timers.restart(0)',
    test: {
      file: promisesTest,
      name: 'a new owner gives a session its full TTL from its own reading, whatever the log says of the time',
    },
  },
  {
    id: 'promised-and-not-kept',
    rules: ['P13', 'O11', 'I9'],
    does: 'The answer to a wait confers time that the session is not given.',
    file: turn,
    find: 'if (entry.gone?.grants && isHeard) instance.touch(entry.gone.waiter.session, moment.now, null)',
    replace: '',
    test: { file: promisesTest, name: 'a grant that was waited for confers time from the grant' },
  },
  {
    id: 'pause-charged',
    rules: ['O9', 'I9'],
    does: 'A pause of the server is charged to the sessions: whoever could not renew while it slept is expired.',
    file: shardClock,
    find: 'this.#baseMs += Math.min(elapsedMs, TICK_MS_MAX)',
    replace: 'this.#baseMs += elapsedMs',
    test: { file: timersTest, name: 'the clock of a shard never runs faster than time, back, or through a pause' },
  },
  {
    id: 'pause-charged-by-a-real-server',
    rules: ['O9', 'I9'],
    does: 'The same, with a server’s process that is stopped and goes on.',
    file: shardClock,
    find: 'this.#baseMs += Math.min(elapsedMs, TICK_MS_MAX)',
    replace: 'this.#baseMs += elapsedMs',
    test: {
      file: 'test/system/pause.test.ts',
      name: 'a pause that is over before the owner has lost its own trust is not charged either',
    },
  },
  {
    id: 'outage-charged',
    rules: ['O9', 'I9'],
    does: 'Time in which the store was away, and nobody could be answered, is charged to the sessions.',
    file: shardClock,
    find: 'if (this.#isWithinDeadline()) this.#baseMs',
    replace: 'this.#baseMs',
    test: { file: timersTest, name: 'time in which the store takes no beats is not charged to the sessions' },
  },
  {
    id: 'expired-before-the-sockets-are-read',
    rules: ['I9', 'O9'],
    does: 'What a pause made due is done before the renewals that lie in the sockets are read.',
    file: shard,
    find: 'clock.afterPoll(() => inTurn(() => this.#expire()))',
    replace: 'this.#expire()',
    test: { file: timersTest, name: 'what a pause made due is looked at after the sockets have been read' },
  },
  {
    id: 'carried-values-of-the-turn-before',
    rules: ['O3', 'I22'],
    listed: 'B14',
    does: 'What the cleaner keeps is chosen a turn early: it brings back a grant that a command of this turn, or the one before, has ended.',
    file: shard,
    find: `    const carriedText = new GroupText()
    // One cleaning at a time: the next begins where this one will have ended.
    const chosen = before?.chosen ? null : working.cleaner.choose(seq + 1, carriedText, working.appendedBytes)
`,
    replace: `    const early = this as unknown as { next?: { text: GroupText; chosen: Chosen | null } | null }
    const { text: carriedText, chosen } = early.next ?? { text: new GroupText(), chosen: null }
    const text = new GroupText()
    early.next = chosen ? null : { text, chosen: working.cleaner.choose(seq + 2, text, working.appendedBytes) }
`,
    test: {
      file: 'packages/server/src/shards/carrying.test.ts',
      name: 'a record that is ended by the batch that carries it, or by the one before, is ended for the next owner',
    },
  },
  {
    id: 'counter-runs-into-the-next-epoch',
    rules: ['P12', 'I2'],
    listed: 'B22',
    does: 'Nobody sees that the numbers of an epoch run out: the next owner gives the same ones again.',
    file: instance,
    find: 'return lastNumber - epoch * NUMBERS_PER_EPOCH > NUMBERS_PER_EPOCH - NUMBERS_LEFT_MIN',
    replace: 'return lastNumber < 0 && epoch < 0',
    test: { file: turnTest, name: 'an instance that is about to run out of numbers gets a new epoch first' },
  },
  {
    id: 'carried-entries-are-events',
    rules: ['I13'],
    listed: 'B27',
    does: 'Watchers and the history hear of grants again when the cleaner carries them.',
    file: feed,
    find: 'of batch.entries) {\n      for (const entry of entries) count = this.#keep(place, instance, entry, count)',
    replace: `of [...batch.carried, ...batch.entries]) {
      for (const entry of entries)
        count = this.#keep(place, instance, entry.type === 'carried' ? { ...entry, type: 'granted' } : entry, count)`,
    test: { file: cleanerTest, name: 'carried entries are no events, and every event comes once' },
  },
  {
    id: 'resume-skips-one',
    rules: ['I13'],
    listed: 'B27',
    does: 'A watcher that resumes misses the event after its cursor.',
    file: feed,
    find: 'for (let place = 0; place < this.#count; place++) {',
    replace: 'for (let place = 1; place < this.#count; place++) {',
    test: { file: feedTest, name: 'resuming after any event misses none and repeats none' },
  },
  {
    id: 'old-cursor-accepted',
    rules: ['I13'],
    does: 'A watcher that was away for too long is not told that it has missed something.',
    file: feed,
    find: 'const isKnown = from && isBefore(from, this.#completeAfter) === false && ',
    replace: 'const isKnown = from && ',
    test: { file: feedTest, name: 'the oldest events go when there are too many, and who needs them is told' },
  },
  {
    id: 'timers-pile-up',
    rules: ['I17'],
    does: 'What was closed long ago stands in the wheel until its time would have come: memory grows with every session.',
    file: timers,
    find: 'if (this.#sessions.count > 2 * this.instance.state.sessionCount + STALE_MAX)',
    replace: 'if (false)',
    test: {
      file: timersTest,
      name: 'sessions and waits that are long gone do not pile up until their time would have come',
    },
  },
  {
    id: 'granted-to-nobody',
    rules: ['O11'],
    does: 'A grant of which its caller never heard, as the connection had gone, stays until its TTL ends, and nobody can release it.',
    file: turn,
    find: 'else if (arrival.isForsaken) this.#giveBack(arrival, reply)',
    replace: 'else if (arrival.isForsaken) continue',
    test: {
      file: 'packages/server/src/shards/callers.test.ts',
      name: 'a grant of which its caller never heard, and that nobody can ask for, is given back',
    },
  },
  {
    id: 'given-back-under-a-key',
    rules: ['P15'],
    does: 'A grant under an `Idempotency-Key` is given back because the connection had gone: a repeat is told that it is lost.',
    file: turn,
    find: "typeof command.session === 'string' || command.session.key) return",
    replace: "typeof command.session === 'string') return",
    test: {
      file: 'packages/server/src/shards/callers.test.ts',
      name: 'a grant of which its caller never heard, and that nobody can ask for, is given back',
    },
  },
  {
    id: 'decided-for-nobody',
    rules: ['O11'],
    does: 'What was asked for with a connection that has gone is decided all the same, when the store is back.',
    file: turn,
    find: '    if (arrival.isForsaken) return\n',
    replace: '',
    test: {
      file: 'packages/server/src/shards/callers.test.ts',
      name: 'what is asked for with a connection that goes before it is decided is never decided',
    },
  },
  {
    id: 'asked-again-while-in-line',
    rules: ['P15', 'O11'],
    does: 'A wait whose end was decided and never written is asked for again though it stands in line: it waits behind its own grant.',
    file: shard,
    find: 'arrival.fail(arrival.isInLine ? unknownOutcome() : new NotTaken())',
    replace: 'arrival.fail(new NotTaken())',
    test: {
      file: 'packages/server/src/shards/callers.test.ts',
      name: 'a wait whose end was decided and never sent is told that this is unknown, as it still stands in line',
    },
  },
  {
    id: 'due-though-swept',
    rules: ['memory'],
    does: 'What was swept stays on the agenda until its time would have come, a month at the most, and keeps its instance.',
    file: 'packages/server/src/shards/timers.ts',
    find: 'if (!this.#sessions.has(slot) && !this.#wakeups.has(slot)) this.#agenda.remove(slot, this)',
    replace: 'void slot',
    test: {
      file: timersTest,
      name: 'what is swept is off the agenda too, and an instance that was given back is on none',
    },
  },
  {
    id: 'waited-since-another-asked',
    rules: ['O11', 'P13', 'I9'],
    does: 'Who asks again under its key is told how long the first request has waited: counted from when it asked itself it believes beyond its end.',
    file: 'packages/server/src/shards/callers.ts',
    find: "if (typeof command.request === 'number') return answer",
    replace: 'if (command) return answer',
    test: {
      file: 'packages/server/src/shards/callers.test.ts',
      name: 'who asks again under its key has waited since then, and who numbers its requests since it asked first',
    },
  },
]
