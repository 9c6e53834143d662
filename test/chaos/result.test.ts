/** What a run must have shown to pass: a scenario that did nothing, or whose expectations were not met, has failed, though nobody broke a rule. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { hasEndedItself, saidLast } from './ended.ts'
import { type Evidence, type Judgement, judge } from './judging.ts'
import { resultOf, resultOfPlay } from './result.ts'
import { defaults, Rig } from './rig.ts'
import type { Scenario } from './scenario.ts'
import { scenarios } from './scenarios/all.ts'

const nothing: Evidence = {
  ...{ recorded: [], cleanings: [], histories: [], attempts: [], deaths: [], promises: [] },
  instance: 'default',
}
const unbounded: Scenario = { id: 'x', name: '', does: '', expects: '', strike: async () => undefined }
const scenario: Scenario = { ...unbounded, boundMs: 1_000 }

/** A run in which something was done, and nothing was wrong. */
function good({ slack = 1 } = {}): { rig: Rig; judgement: Judgement } {
  const rig = new Rig({ ...defaults, folder: '', seed: 1, seconds: 1, slack })
  rig.faults.push({ kind: 'something', atMs: 10, healedMs: 20, isAnsweredDuring: true })
  const empty = judge(nothing)
  const figures = { ...empty.figures, beliefs: 9, watched: 9, seen: 9 }
  const acquires = [{ calledMs: 30, returnedMs: 40 }]
  return { rig, judgement: { ...empty, figures, acquires, counts: { operations: 9 } } }
}

function whyOf(spoil: (run: ReturnType<typeof good>) => void, given = scenario, options = {}): string[] {
  const run = good(options)
  spoil(run)
  return resultOf(given, run.rig, run.judgement).why
}

const ended = (why: string, isStart = false) => ({ place: 1, why, isStart })
const dead = 'This server must stop: the member record of server-1.ab is not its own any more: it was declared dead'

test('a run in which something was done, and nothing was wrong, passes', () => {
  assert.deepEqual(
    whyOf(() => undefined),
    [],
  )
})

test('a run that did nothing has failed', () => {
  const rig = new Rig({ ...defaults, folder: '', seed: 1, seconds: 1 })
  const { outcome, why } = resultOf(scenario, rig, judge(nothing))
  assert.equal(outcome, 'failed')
  const lacks = ['operations', 'beliefs', 'watched', 'seen', 'faults'].map(what => `void: no ${what}`)
  assert.deepEqual(why, [...lacks, 'void: no grant was timed, and there is a bound'])
})

const short: [string, RegExp, (run: ReturnType<typeof good>) => void][] = [
  ['no fault', /no faults/, ({ rig }) => rig.faults.splice(0)],
  ['no operation', /no operations/, ({ judgement }) => (judgement.counts = {})],
  ['no belief', /no beliefs/, ({ judgement }) => (judgement.figures.beliefs = 0)],
  ['nothing watched', /no watched/, ({ judgement }) => (judgement.figures.watched = 0)],
  ['no history judged', /no seen/, ({ judgement }) => (judgement.figures.seen = 0)],
  ['a history that was given up', /undecided for 2/, ({ judgement }) => (judgement.figures.undecided = 2)],
  ['no grant after the fault', /Infinity ms/, ({ judgement }) => (judgement.acquires = [])],
  [
    'a session that was kept too long though nothing was broken',
    /ended 1001 ms after its promise; nothing was broken/,
    ({ judgement }) => judgement.expiries.push({ fromMs: 1_021, ttlMs: 500, atMs: 2_522, lateMs: 1_001 }),
  ],
  [
    'a session that was kept too long after something was broken',
    /ended 1501 ms after its promise; something was broken/,
    ({ judgement }) => judgement.expiries.push({ fromMs: 1_020, ttlMs: 500, atMs: 3_021, lateMs: 1_501 }),
  ],
  ['a server that ended', /server 1 ended by itself: a bug/, ({ rig }) => rig.ended.push(ended('a bug'))],
  ['a server taken for dead', /declared dead/, ({ rig }) => rig.ended.push(ended(dead))],
]
for (const [what, reason, spoil] of short)
  test(`a run has failed with ${what}`, () => {
    assert.match(whyOf(spoil).join('\n'), reason)
  })

test('a server may end for what the scenario names, and for want of time where the machine is said to be busy, or while it loads', () => {
  const one = (why: string, isStart?: boolean) => (run: ReturnType<typeof good>) =>
    run.rig.ended.push(ended(why, isStart))
  const disk = { ...scenario, ends: /EIO/ }
  assert.deepEqual(whyOf(one('write: EIO'), disk), [])
  assert.equal(whyOf(one(dead), disk).length, 1)
  assert.deepEqual(whyOf(one(dead), disk, { slack: 2 }), [])
  assert.deepEqual(whyOf(one(dead), scenario, { slack: 2 }), [])
  assert.equal(whyOf(one('a bug'), disk, { slack: 2 }).length, 1)
  assert.deepEqual(whyOf(one(dead, true)), [])
  assert.equal(whyOf(one('a bug', true)).length, 1)
})

test('a session may be ended as late as its bound, which is longer where something was broken, and by so much more for a busy machine', () => {
  const kept = (fromMs: number, lateMs: number) => (run: ReturnType<typeof good>) =>
    run.judgement.expiries.push({ fromMs, ttlMs: 500, atMs: fromMs + 500 + lateMs, lateMs })
  assert.deepEqual(whyOf(kept(1_021, 1_000)), [])
  assert.deepEqual(whyOf(kept(1_020, 1_500)), [])
  assert.deepEqual(whyOf(kept(1_021, 2_000), scenario, { slack: 2 }), [])
  assert.deepEqual(whyOf(kept(15_020, 60_000), unbounded), [], 'of such a scenario nothing is said')
  assert.equal(whyOf(kept(15_021, 1_001), unbounded).length, 1)
})

test('an operation of unknown outcome fails the scenarios that expect none', () => {
  const unknown = ({ judgement }: ReturnType<typeof good>) =>
    (judgement.counts = { operations: 9, 'failed unavailable': 1 })
  assert.deepEqual(whyOf(unknown), [])
  assert.match(whyOf(unknown, { ...scenario, unknownMax: 0 }).join(), /1 operations of unknown outcome/)
  for (const { id, expects, unknownMax } of scenarios)
    if (/of unknown outcome/.test(expects))
      assert.equal(unknownMax, 0, `scenario ${id} does not look at what it expects`)
})

test('one scenario only may pass without a fault', () => {
  const faultless = scenarios.filter(({ isFaultless }) => isFaultless)
  assert.deepEqual(
    faultless.map(({ id }) => id),
    ['1'],
  )
  assert.deepEqual(
    whyOf(({ rig }) => rig.faults.splice(0), { ...unbounded, isFaultless: true }),
    [],
  )
})

test('a scenario with a rig of its own shows something too', () => {
  const played = {
    violations: [],
    counts: { operations: 3 },
    faults: { one: 1 },
    refused: 0,
    nextGrantMs: [10],
    details: {},
  }
  const of = (changes: Partial<typeof played> | { faults: Record<string, number>; counts: Record<string, number> }) =>
    resultOfPlay(scenario, { ...played, ...changes }, { seed: 1, seconds: 1 }).why
  assert.deepEqual(of({}), [])
  assert.deepEqual(of({ faults: {}, counts: {} }), ['void: no operations', 'void: no faults'])
  assert.deepEqual(of({ nextGrantMs: [] }), ['void: no grant was timed, and there is a bound'])
})

test('a server that was killed or told to stop has not ended by itself; one that has said why is quoted', () => {
  const child = (exitCode: number | null, signalCode: string | null) =>
    ({ child: { exitCode, signalCode } }) as Parameters<typeof hasEndedItself>[0]
  const ends = [child(null, null), child(0, null), child(null, 'SIGKILL'), child(1, null), child(null, 'SIGSEGV')]
  assert.deepEqual(ends.map(hasEndedItself), [false, false, false, true, true])
  const fatal = '{"level":60,"msg":"this process must not go on"}'
  assert.equal(saidLast(`{"level":40,"msg":"late"}\n${fatal}\n{"level":40}\n`), fatal)
  assert.equal(saidLast('a\nb\nc\nd\n'), 'b c d')
})
