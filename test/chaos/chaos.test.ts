/**
 * The short form of `npm run chaos`: one scenario from the first process to the last, and then the same evidence spoilt in one place at a time, so that
 * it is known that the judges would have seen it.
 */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Deed, Mode } from '../checker/lock-model.ts'
import type { Told } from '../checker/promising.ts'
import { temporaryFolder } from '../harness/process.ts'
import type { Line } from './client/history.ts'
import { type Evidence, judge } from './judging.ts'
import { excessOf, moreMax } from './resting.ts'
import { nextGrants, resultOf } from './result.ts'
import { defaults, Rig } from './rig.ts'
import type { Scenario } from './scenario.ts'

const SECONDS = 3
/** Of the log, before the fault, and as many after it. */
const ENTRIES = 250
/** The first of all may have any token. */
const LATER = 10

const short: Scenario = {
  id: 'short',
  name: 'an owner killed once',
  does: 'kill -9 of the owner',
  expects: 'all invariants',
  async strike(rig) {
    await written(rig, ENTRIES)
    const place = await rig.owner()
    await rig.fault('kill -9 of the owner', async () => {
      await rig.servers[place]!.kill()
      await rig.granted()
    })
    await written(rig, 2 * ENTRIES)
  },
}

/** However long that takes on a machine that has other things to do. */
async function written(rig: Rig, entries: number): Promise<void> {
  while (rig.recorded.length < entries) await sleep(20)
}

let kept: Evidence | null = null

test('clients, servers and a store as real processes, an owner killed: nothing that was promised is broken', async () => {
  const folder = temporaryFolder('chaos')
  // Sessions that are renewed in time on a busy machine too.
  const client = { clients: 3, ttlsMs: [5_000], paceMs: 20, idleEveryMs: 300 }
  const small = { members: 1, servers: 2, processes: 2, client }
  const rig = new Rig({ ...defaults, ...small, folder: folder.path, seed: 1, seconds: SECONDS })
  try {
    await rig.start()
    await short.strike(rig)
    const judgement = await rig.rest()
    const result = resultOf(short, rig, judgement)
    assert.deepEqual(result.why, [])
    assert.ok(result.operations > 50, `${result.operations} operations`)
    assert.ok(judgement.figures.windows >= 2 && judgement.figures.answered > 50, JSON.stringify(result.details))
    assert.ok(judgement.figures.watched > 50, JSON.stringify(result.details))
    assert.ok(Number.isFinite(nextGrants(rig.faults, judgement.acquires)[0]))
    assert.ok(rig.log.counts.takeovers >= 2)
    kept = rig.evidence
  } finally {
    await rig.stop()
    folder.remove()
  }
})

test('of faults that came before anything was granted again the last is timed, and one that nothing came after lasts for ever', () => {
  const fault = (atMs: number, healedMs: number, isAnsweredDuring = true) => ({
    kind: '',
    atMs,
    healedMs,
    isAnsweredDuring,
  })
  const acquires = [
    { calledMs: 90, returnedMs: 130 },
    { calledMs: 310, returnedMs: 450 },
    { calledMs: 460, returnedMs: 470 },
  ]
  assert.deepEqual(nextGrants([fault(100, 150), fault(300, 350), fault(455, 456)], acquires), [150, 15])
  assert.deepEqual(nextGrants([fault(300, 455, false), fault(500, 600)], acquires), [15, Number.POSITIVE_INFINITY])
})

/** The evidence with the lines of all histories changed; null drops one. */
function withLines({ histories, ...rest }: Evidence, change: (line: Line) => Line | null): Evidence {
  return { ...rest, histories: histories.map(lines => lines.flatMap(line => change(structuredClone(line)) ?? [])) }
}

/** The evidence with the lines of all servers changed. */
function withTold({ promises, ...rest }: Evidence, change: (line: Told) => Told): Evidence {
  return { ...rest, promises: promises.map(lines => lines.map(line => change(structuredClone(line)))) }
}

/** The evidence with one more thing that a client has seen, when everybody had left. */
function withLast(all: Evidence, lock: string, deed: Deed): Evidence {
  const t = Math.max(...all.recorded.map(({ atMs }) => atMs)) + 1
  const asked: Line[] = [
    { e: 'call', n: -1, lock, deed: { does: 'nothing' }, t },
    { e: 'return', n: -1, deed, t: t + 1 },
  ]
  return { ...all, histories: [...all.histories, asked] }
}

/** The token of somebody who held it so. */
function leftBy({ recorded }: Evidence, mode: Mode): number {
  const found = recorded.find(
    ({ written: { entry } }) => entry.record === 'grant' && entry.value?.mode === mode && entry.type === 'granted',
  )
  assert.ok(found?.written.entry.record === 'grant', `nobody held anything as ${mode}`)
  return found.written.entry.token
}

/** Changes the first line that it can. */
function once(change: (line: Line) => Line | null | undefined): (line: Line) => Line | null {
  let isDone = false
  return line => {
    if (isDone) return line
    const changed = change(line)
    if (changed === undefined) return line
    isDone = true
    return changed
  }
}

const spoilt: [string, string, (evidence: Evidence) => Evidence][] = [
  [
    'a grant that the log does not know',
    'I5',
    all =>
      withLines(
        all,
        once(line => (line.e === 'grant' ? { ...line, token: line.token + 1_000_000 } : undefined)),
      ),
  ],
  [
    'a late write that the resource took',
    'I3',
    all => ({
      ...all,
      attempts: [...all.attempts, { ...all.attempts[0]!, ok: true }].map(one => ({ ...one, lock: 'hot' })),
    }),
  ],
  [
    'belief that never ends',
    'I4',
    all => withLines(all, line => (line.e === 'over' ? null : line.e === 'until' ? { ...line, until: 1e15 } : line)),
  ],
  [
    'an event that was read twice',
    'I13',
    all => ({
      ...all,
      histories: all.histories.map(lines =>
        lines.flatMap((line): Line[] => (line.e === 'seen' ? [line, line] : [line])),
      ),
    }),
  ],
  [
    'a token that is smaller than one before it',
    'I12',
    all => {
      let acquired = 0
      return withLines(all, line => {
        const isLater = line.e === 'return' && line.deed.does === 'acquire' && ++acquired > LATER
        return isLater ? { ...line, deed: { does: 'acquire', token: 1 } } : line
      })
    },
  ],
  [
    'a reader who is told that it holds what it has left',
    'I12',
    all => withLast(all, 'both', { does: 'see', held: leftBy(all, 'shared') }),
  ],
  [
    'permits that are confirmed though they have been given back',
    'I12',
    all => withLast(all, 'permits', { does: 'see', held: leftBy(all, 'permits') }),
  ],
  [
    'a try that nothing stood in the way of',
    'I12',
    all =>
      withLast(all, 'permits', {
        ...{ does: 'refuse', why: null, by: null },
        claim: { mode: 'permits', permits: 1, limit: 3 },
      }),
  ],
  [
    'a session that was ended while it had been promised time',
    'I9',
    all => withLines(all, line => (line.e === 'idle' ? { ...line, t: line.t + 10_000 } : line)),
  ],
  [
    'a release that was acknowledged, of a lock that is held',
    'I18',
    ({ recorded, ...rest }) => {
      const released = rest.histories.flat().find(line => line.e === 'released')
      return {
        ...rest,
        recorded: recorded.filter(
          ({ written: { entry } }) =>
            !(entry.record === 'grant' && entry.value === null && entry.token === released?.token),
        ),
      }
    },
  ],
]

/** What servers must not have promised. */
const broken: typeof spoilt = [
  [
    'a server that owned a shard before its takeover was known',
    'I21',
    all => withTold(all, line => (line.e === 'owner' ? { ...line, t: line.t - 60_000 } : line)),
  ],
  [
    'an owner that trusts itself for longer than others let it live',
    'I21',
    all => withTold(all, line => (line.e === 'beat' ? { ...line, from: line.from + 60_000 } : line)),
  ],
  [
    'an answer from memory to what was received when the owner may have been taken for dead',
    'I21',
    all => withTold(all, line => (line.e === 'answered' && !line.isLogged ? { ...line, at: line.at + 2_500 } : line)),
  ],
  [
    'an answer in an epoch of another',
    'I21',
    all => withTold(all, line => (line.e === 'answered' ? { ...line, epoch: line.epoch + 1 } : line)),
  ],
  [
    'an answer on a log that was read as it had been',
    'I20',
    all => withTold(all, line => (line.e === 'answered' ? { ...line, seq: 1 } : line)),
  ],
  [
    'a server that went on from a log that was read as it had been',
    'I20',
    all => withTold(all, line => (line.e === 'opened' && line.epoch > 1 ? { ...line, seq: line.seq - 1 } : line)),
  ],
  ['servers that write nothing down', 'run', all => ({ ...all, promises: all.promises.map(() => []) })],
]

for (const [what, invariant, spoil] of [...spoilt, ...broken]) {
  test(`refused: ${what}`, () => {
    assert.ok(kept, 'there is a run to spoil')
    const { violations } = judge(spoil(kept))
    assert.ok(
      violations.some(one => one.invariant === invariant),
      JSON.stringify(violations.slice(0, 3)),
    )
  })
}

const idle = {
  ...{ grants: 0, waiters: 0, sessions: 0, watch_streams: 0, locks: 0, connections: 1 },
  ...{ descriptors: 30, heapBytes: 35_000_000, outsideBytes: 28_000_000 },
}

for (const name of Object.keys(idle) as (keyof typeof idle)[]) // of the object above
  test(`refused: more ${name} at rest than before anybody came`, () => {
    assert.deepEqual(excessOf([idle], idle, moreMax), [])
    const more = name.endsWith('Bytes') ? 100_000_000 : 20
    assert.equal(excessOf([idle], { ...idle, [name]: idle[name] + more }, moreMax).length, 1)
  })
