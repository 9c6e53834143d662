/** The trail: what is deleted before it is kept, kept by whoever should not, sent and forgotten, or not looked at. */
import type { Bug } from '../bug.ts'

const calendar = 'packages/server/src/assembly/calendar'
const audit = 'packages/server/src/audit'
const archive = (name: string) => ({ file: `${audit}/archive.test.ts`, name })
const chain = (name: string) => ({ file: `${audit}/chain.test.ts`, name })
const delivery = (name: string) => ({ file: `${audit}/delivery.test.ts`, name })

export const auditBugs: readonly Bug[] = [
  {
    id: 'deleted-before-it-is-archived',
    rules: ['I15'],
    does: 'The cleaner does not wait for the archive: a part of the trail is gone before it was kept.',
    file: 'packages/server/src/shards/cleaner.ts',
    find: '      if (before >= this.#options.archive.safeBefore) return { before, bytes }\n',
    replace: '',
    test: archive('the cleaner waits for the archive; when it works again, the cleaner goes on'),
  },
  {
    id: 'archived-by-a-former-owner',
    rules: ['I15'],
    does: 'A server that was replaced goes on archiving: what it writes late lies beside what the owner has.',
    file: `${audit}/archive.ts`,
    find: '        { key: keys.owner(shard), modRevision: this.#shard.ownerRevision() },\n',
    replace: '',
    test: archive('a server that no longer owns the shard archives nothing'),
  },
  {
    id: 'archive-forgets-that-it-was-asked',
    rules: ['I15'],
    does: 'What the cleaner asks for while a segment is being written is forgotten: the log is cleaned no more.',
    file: `${audit}/archive.ts`,
    find: '    this.#wantedBefore = before\n',
    replace: '    if (!this.#isBusy) this.#wantedBefore = before\n',
    test: archive('the cleaner waits for the archive; when it works again, the cleaner goes on'),
  },
  {
    id: 'cursor-moves-before-the-sink-takes',
    rules: ['I15'],
    does: 'The cursor of a sink moves though the sink did not take what was before it: those records never arrive.',
    file: `${audit}/delivery.ts`,
    find: '        throw new NotTaken(error)\n',
    replace: '        return this.#move(source, cursor, end).then(() => Promise.reject(new NotTaken(error)))\n',
    test: delivery(
      'a sink that was away gets what it has missed, from the archive too; it is tried again at least every RETRY_MS_MAX',
    ),
  },
  {
    id: 'chain-not-compared',
    rules: ['I15'],
    does: 'The check of the chain does not compare what a batch names with what lies before it: an edited batch is whole.',
    file: `${audit}/chain.ts`,
    find: 'seq === last.seq + 1 && head.prev !== last.hash',
    replace: "seq === last.seq + 1 && head.prev === 'never'",
    test: chain('found, and where: a batch of the log is edited'),
  },
  {
    id: 'no-trail-no-problem',
    rules: ['I15'],
    does: 'Where nothing is left of the administrative trail nothing is compared with the head that was kept: whoever deletes all of it is not found out.',
    file: `${audit}/chain.ts`,
    find: '    this.#ended()\n    return true\n  }\n\n  async #link(',
    replace: '    if (seq >= 0) this.#ended()\n    return true\n  }\n\n  async #link(',
    test: {
      file: `${audit}/chain.test.ts`,
      name: 'found, and where: the whole trail is deleted, with its head (with a head that was kept)',
    },
  },
  {
    id: 'trail-dropped-by-the-clock',
    rules: ['I15'],
    does: 'What of the trail is old enough to go is asked of the clock: ten seconds in which that is wrong erase all of it.',
    file: `${audit}/archive.ts`,
    find: 'const now = calendar.now()',
    replace: 'const now = this.#options.clock.wallMs() + 0 * Number(calendar.now())',
    test: {
      file: `${calendar}.test.ts`,
      name: 'the trail of a year survives a clock that is 400 days ahead for ten seconds, and what it wrote then goes in its turn',
    },
  },
  {
    id: 'future-hours-are-billed',
    rules: ['metering'],
    does: 'A clock that was set is believed at once: hours that have not been are billed.',
    file: `${calendar}.ts`,
    find: '      this.#sinceMs = bootMs\n',
    replace: '',
    test: { file: `${calendar}.test.ts`, name: 'no hour is billed before it is over by a clock that has stood' },
  },
  {
    id: 'calendar-follows-any-clock',
    rules: ['I15', 'metering'],
    does: 'A clock that is wrong for longer than an hour is followed at once, however far.',
    file: `${calendar}.ts`,
    find: 'return Math.min(wallMs, this.#seenAt + STEP_MS)',
    replace: 'return wallMs',
    test: {
      file: `${calendar}.test.ts`,
      name: 'however wrong the clock is, and for however long, the calendar goes on by STEP_MS for each STOOD_MS; and back at once',
    },
  },
]
