/** What is forgiven to frozen machines: enough that the judges are not wrong, and no more. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WireGrant } from '@holdfast/protocol/frame'
import { Ledger } from '../../packages/client/src/ledger.ts'
import { Beliefs } from '../checker/beliefs.ts'
import { Basis, Freezes, readingOf } from './freezes.ts'
import { Machine } from './machine.ts'
import { type Plan, planOf } from './plan.ts'
import { Schedule } from './schedule.ts'
import { World } from './world.ts'

async function pass(schedule: Schedule, ms: number): Promise<void> {
  schedule.after(ms, () => undefined)
  await schedule.run({ untilMs: schedule.nowMs + ms, isOver: () => false })
}

test('no clock of a frozen machine counts, none jumps when it goes on, and the wall may be set', async () => {
  const schedule = new Schedule()
  const machine = new Machine(schedule, { name: 'client', rate: 1.1 })
  const clocks = () => [machine.hrtimeMs(), machine.bootMs(), machine.wallMs()].map(Math.round)
  await pass(schedule, 1_000)
  let rang = 0
  machine.after(500, () => rang++)
  const before = clocks()
  machine.freeze()
  await pass(schedule, 7_000)
  assert.deepEqual(clocks(), before)
  machine.thaw({ isWallSet: false })
  assert.deepEqual(clocks(), before)
  await pass(schedule, 450)
  assert.equal(rang, 0, 'what was to happen after a while happens after that while, by its clock')
  await pass(schedule, 10)
  assert.equal(rang, 1)
  const [hrtimeMs, bootMs, wallMs] = clocks()
  machine.freeze()
  await pass(schedule, 7_000)
  machine.thaw({ isWallSet: true })
  assert.deepEqual(clocks(), [hrtimeMs, bootMs, (wallMs ?? 0) + 7_700])
})

test('a belief is shaken by a freeze of its machine until something sent after it has been answered', async () => {
  const schedule = new Schedule()
  const machine = new Machine(schedule, { name: 'client', rate: 1 })
  const ledger = new Ledger(4_000, { failed: () => undefined, unwound: () => undefined })
  const basis = new Basis(ledger, machine)
  const freezes = new Freezes()
  const confer = (since: ReturnType<typeof readingOf>) =>
    ledger.belief.confer({ since, ttlMs: 4_000, waitedMs: 0, changes: 0 }, readingOf(machine))
  const sent = readingOf(machine)
  confer(sent)
  const arrival = { firstSentAt: sent, sentAt: sent, waitedMs: 0, now: sent }
  const holding = ledger.hold({ name: 'a', token: 1, mode: 'exclusive' } as WireGrant, arrival)
  assert.equal(basis.isShaken(holding, freezes), false)
  await pass(schedule, 100)
  machine.freeze()
  await pass(schedule, 5_000)
  machine.thaw({ isWallSet: true })
  assert.equal(basis.isShaken(holding, freezes), true)
  await pass(schedule, 10)
  const renewed = readingOf(machine)
  await pass(schedule, 10)
  confer(renewed)
  assert.equal(basis.isShaken(holding, freezes), false)
  await pass(schedule, 1)
  freezes.serverThawed(machine)
  assert.equal(basis.isShaken(holding, freezes), false, 'it was answered before that server went on')
  await pass(schedule, 10)
  confer(readingOf(machine))
  assert.equal(basis.isShaken(holding, freezes), true, 'that server may have answered')
})

test('an overlap is counted when one of the two rests on a freeze, and is a violation otherwise', () => {
  const belief = { lock: 'a', mode: 'exclusive' as const, slots: [], isBelieved: () => true }
  const beliefs = new Beliefs()
  beliefs.begins({ ...belief, client: 'frozen', token: 1, restsOnFreeze: () => true })
  beliefs.begins({ ...belief, client: 'next', token: 2, restsOnFreeze: () => false })
  assert.deepEqual(beliefs.owed, { I4: 1, I9: 0 })
  beliefs.ended({ lock: 'a', token: 1, how: 'expired' })
  assert.deepEqual(beliefs.owed, { I4: 1, I9: 1 })
  assert.throws(() => beliefs.begins({ ...belief, client: 'third', token: 3 }), /^Violation: I4: third .* while next/)
  assert.throws(() => beliefs.ended({ lock: 'a', token: 2, how: 'expired' }), /^Violation: I9: next/)
})

/** Runs in which machines are frozen: enough of them that what befalls another seed when the product changes is no matter. */
const SEEDS_MAX = 200
function* frozen(): Generator<Plan> {
  for (let seed = 1; seed <= SEEDS_MAX; seed++) {
    const plan = planOf(seed, 300)
    if (plan.faults.some(({ kind }) => kind === 'freeze_client')) yield plan
  }
}

test('what frozen machines believe is counted; a judge that forgave it nothing would call it wrong', async t => {
  let played = 0
  for (const plan of frozen()) {
    played++
    const { outcomes } = await new World(plan).run()
    if (!outcomes['I4 owed to a freeze'] && !outcomes['I9 owed to a freeze']) continue
    if (await isWrongToTheStrict(plan)) return t.diagnostic(`seed ${plan.seed}, the ${played}th with frozen machines`)
  }
  assert.fail(`of ${played} runs with frozen machines none had an effect that a strict judge would see`)
})

async function isWrongToTheStrict(plan: Plan): Promise<boolean> {
  const world = new World(plan)
  const begins = world.beliefs.begins.bind(world.beliefs)
  world.beliefs.begins = belief => begins({ ...belief, restsOnFreeze: () => false })
  try {
    await world.run()
    return false
  } catch (error) {
    assert.match(String(error), /^Violation: I[49]: /)
    return true
  }
}
