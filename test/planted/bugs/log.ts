/** The log: appending, reading it back, cleaning it. */
import type { Bug } from '../bug.ts'

const log = 'packages/server/src/shards/log.ts'
const commit = 'packages/server/src/engine/commit.ts'
const recovery = 'packages/server/src/shards/recovery.ts'
const cleaner = 'packages/server/src/shards/cleaner.ts'
const ownershipTest = 'packages/server/src/shards/ownership.test.ts'
const recoveryTest = 'packages/server/src/shards/recovery.test.ts'
const cleanerTest = 'packages/server/src/shards/cleaner.test.ts'
const turnTest = 'packages/server/src/shards/turn.test.ts'
const logTest = 'packages/server/src/shards/log.test.ts'
const carryingTest = 'packages/server/src/shards/carrying.test.ts'
const commitTest = 'packages/server/src/engine/commit.test.ts'

export const logBugs: readonly Bug[] = [
  {
    id: 'append-without-predecessor',
    rules: ['P1', 'O1', 'I19'],
    listed: 'B1',
    does: 'An append does not name the batch before it: a copy that arrives minutes later passes once the cleaner has emptied its place, and ended grants return.',
    file: log,
    find: '        { key: keys.batch(shard, this.#end.seq), modRevision: this.#end.revision },\n',
    replace: '',
    test: {
      file: ownershipTest,
      name: 'a late duplicate of an append is refused after its place has been cleaned',
    },
  },
  {
    id: 'append-without-owner',
    rules: ['P1', 'I19', 'I4'],
    listed: 'B2',
    does: 'An append does not check who owns the shard: a server that was replaced while it was stopped goes on granting.',
    file: log,
    find: '        { key: keys.owner(shard), modRevision: ownership.revision },\n',
    replace: '',
    test: {
      file: ownershipTest,
      name: 'who is no longer the owner cannot append, and says that the outcome is unknown',
    },
  },
  {
    id: 'append-over-another',
    rules: ['P1', 'I19'],
    does: 'An append does not check that its place is empty: a copy that arrives at once is written over the first, and the log stops.',
    file: log,
    find: '        { key, modRevision: 0 },\n',
    replace: '',
    test: { file: logTest, name: 'an append that arrives twice, however soon, is written once' },
  },
  {
    id: 'newest-batch-cleaned',
    rules: ['P1'],
    does: 'The cleaner takes the newest batch too: the next append has nothing to name as its predecessor.',
    file: cleaner,
    find: 'const end = log.end.seq\n',
    replace: 'const end = log.end.seq + 2\n',
    test: { file: cleanerTest, name: 'the newest batch is never cleaned' },
  },
  {
    id: 'unknown-taken-for-failed',
    rules: ['P3', 'I6', 'I18'],
    listed: 'B17',
    does: 'A commit whose reply was lost counts as failed: what it wrote is decided a second time.',
    file: commit,
    find: '      onUnknown(error, attempt)\n',
    replace: '      onUnknown(error, attempt)\n      return { ok: false, found: [] }\n',
    test: { file: turnTest, name: 'a commit of unknown outcome is repeated with the same bytes until it is known' },
  },
  {
    id: 'refusal-of-a-retry-believed',
    rules: ['P3', 'I18'],
    does: 'A refusal of the second attempt (disk full) is taken for the fate of the first, which had been written.',
    file: commit,
    find: 'error instanceof EngineRefusal && attempt === 1',
    replace: 'error instanceof EngineRefusal',
    test: { file: commitTest, name: 'a refusal says nothing about an earlier attempt whose outcome was unknown' },
  },
  {
    id: 'own-batch-not-recognised',
    rules: ['P3', 'I18'],
    listed: 'B18',
    does: 'A retry that finds its own batch in place takes it for somebody else’s: what was written is reported as not written.',
    file: commit,
    find: 'return pair && Buffer.compare(pair.value, bytes) === 0 ? pair.modRevision : null',
    replace: 'return null',
    test: { file: turnTest, name: 'a commit of unknown outcome is repeated with the same bytes until it is known' },
  },
  {
    id: 'foreign-batch-taken-for-own',
    rules: ['P3', 'I18'],
    does: 'Whatever lies in its place is taken for the own batch: what was never written is acknowledged.',
    file: commit,
    find: 'return pair && Buffer.compare(pair.value, bytes) === 0 ? pair.modRevision : null',
    replace: 'return pair ? pair.modRevision : null',
    test: { file: commitTest, name: 'a place that somebody else has taken is no success' },
  },
  {
    id: 'stale-page-believed',
    rules: ['P4', 'I20'],
    listed: 'B16',
    does: 'A recovery takes a page that a lagging member of the store serves: grants that were acknowledged are forgotten.',
    file: recovery,
    find: 'if (listing.revision >= atLeast) return listing',
    replace: 'return listing',
    test: { file: recoveryTest, name: 'a log is read in pages, all of them no older than the takeover' },
  },
  {
    id: 'old-answer-taken-for-new',
    rules: ['P4', 'I20'],
    listed: 'B16',
    does: 'What a member that lags answers to a read passes for the present: who takes over reads the log as it was, and answers on that.',
    file: 'packages/server/src/engine/etcd/etcd.ts',
    find: '        if (revision >= floor) return reply\n',
    replace:
      '        if (reply.header) return { ...reply, header: { ...reply.header, revision: Math.max(revision, floor) } }\n',
    test: {
      file: 'test/chaos/old-reads.test.ts',
      name: 'a log that is read as it had been is not answered on: recovery waits for the present',
    },
  },
  {
    id: 'batch-numbers-run-over',
    rules: ['P1', 'I16'],
    does: 'A log whose numbers have run out is written on: what was acknowledged last cannot be read back.',
    file: log,
    find: 'if (!Number.isSafeInteger(seq)) throw',
    replace: 'if (seq < 0) throw',
    test: {
      file: 'test/chaos/ends.test.ts',
      name: 'a batch whose number could not be read back is not written, nor what is in it acknowledged',
    },
  },
  {
    id: 'one-batch-too-many-cleaned',
    rules: ['P1', 'I22', 'I20'],
    does: 'With the batches whose entries were carried goes the one behind them: what only that says is gone for the next owner.',
    file: log,
    find: 'to: keys.batch(shard, cleaned.before),',
    replace: 'to: keys.batch(shard, Math.min(cleaned.before + 1, this.#end.seq)),',
    test: {
      file: 'test/chaos/cleaning.test.ts',
      name: 'a log that is cleaned while its server is killed says what the whole log said, and only what was deleted is gone',
    },
  },
  {
    id: 'gap-accepted',
    rules: ['P4', 'I20'],
    does: 'A log with a batch missing is read as if nothing had been in it.',
    file: recovery,
    find: 'if (batch.seq !== last.seq + 1)',
    replace: 'if (false)',
    test: { file: recoveryTest, name: 'a log with a batch missing in the middle is refused' },
  },
  {
    id: 'chain-not-checked',
    rules: ['P4', 'I15'],
    does: 'Nobody looks whether a batch names the one before it: a log that was tampered with is granted on.',
    file: recovery,
    find: 'if (batch.prev !== this.#end.hash)',
    replace: 'if (false)',
    test: { file: recoveryTest, name: 'a batch that does not name the one before it is refused' },
  },
  {
    id: 'falling-epoch-accepted',
    rules: ['P4', 'I19'],
    does: 'A batch that a former owner wrote after a later one is accepted.',
    file: recovery,
    find: 'if (batch.epoch < last.epoch)',
    replace: 'if (false)',
    test: {
      file: recoveryTest,
      name: 'a falling epoch, a clock that goes back, a batch in the wrong place, an empty log: all refused',
    },
  },
  {
    id: 'carried-after-entries',
    rules: ['I20', 'I22'],
    does: 'A recovery reads what a batch carries after what it decided: the next owner brings back a grant that the same batch ended.',
    file: recovery,
    find: '    for (const group of batch.carried) this.#apply(group, batch)\n    for (const group of batch.entries) this.#apply(group, batch)\n',
    replace:
      '    for (const group of batch.entries) this.#apply(group, batch)\n    for (const group of batch.carried) this.#apply(group, batch)\n',
    test: {
      file: carryingTest,
      name: 'a record that is ended by the batch that carries it, or by the one before, is ended for the next owner',
    },
  },
  {
    id: 'deleted-before-it-is-carried',
    rules: ['I22', 'I20'],
    listed: 'B15',
    does: 'The cleaner deletes batches of which something is still true and not yet carried: a crash in the middle of a pass forgets it.',
    file: cleaner,
    find: 'before < pass.end && this.#isDead(before)',
    replace: 'before < pass.end',
    test: {
      file: carryingTest,
      name: 'whenever the server is killed in the middle of a pass, all that was held is held',
    },
  },
  {
    id: 'counted-as-carried-and-not-written',
    rules: ['I22', 'I20'],
    does: 'The cleaner marks a record as carried without writing it: it goes with its old batch.',
    file: cleaner,
    find: 'text.add(found.instance, encoded)\n',
    replace: '',
    test: { file: cleanerTest, name: 'the cleaned log folds to what the whole log folds to (seed 1, quick store)' },
  },
  {
    id: 'log-never-cleaned',
    rules: ['I22', 'I17'],
    does: 'Cleaning never begins: the log grows with every command, and the next start reads all of it.',
    file: cleaner,
    find: 'if (this.#isOver) return null\n',
    replace: 'return null\n',
    test: { file: cleanerTest, name: 'the log is bounded by what is alive, in idle time too' },
  },
]
