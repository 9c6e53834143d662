/** The short form of `npm run explore`: the beginnings of small worlds, as far as the planted bugs lie, and one in which something is wrong. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Violation } from '../checker/judge.ts'
import { coreSteps } from './core-steps.ts'
import { explore, type Steps } from './explore.ts'
import { logSteps } from './log-steps.ts'
import { ownerSteps } from './owners/world.ts'
import { ownerWorlds } from './worlds.ts'

const limits = { depthMax: 80, statesMax: 1_000_000, secondsMax: 50 }

async function isGreen(
  make: () => Steps | Promise<Steps>,
  { states, ...bounds }: { depthMax?: number; statesMax?: number; secondsMax?: number; states: number },
) {
  const walk = await explore(make, { ...limits, ...bounds })
  if (walk.violation) assert.fail(`${walk.violation.error.message}, after: ${walk.violation.path.join('; ')}`)
  assert.ok(walk.states >= states, `only ${walk.states} states: nothing has been shown`)
  return walk
}

test('two servers take one log from each other in every order, and a commit comes again at any later time', async () => {
  const world = { servers: 2, appends: 1, losses: 0, repeats: 1, deaths: 1 }
  await isGreen(() => logSteps(world), { statesMax: 800, states: 800 })
})

test('two servers take one log from each other in every order, and a call is given up in its middle', async () => {
  const world = { servers: 2, appends: 1, losses: 1, repeats: 0, deaths: 1 }
  await isGreen(() => logSteps(world), { statesMax: 5_200, states: 5_200 })
})

test('every order of the commands of two sessions on one lock keeps the rules, four deep', async () => {
  const world = { sessions: 2, locks: ['exclusive' as const], cleans: true }
  await isGreen(() => coreSteps(world), { depthMax: 4, states: 300 })
})

test('the same of readers and writers, and of permits, three deep', async () => {
  await isGreen(() => coreSteps({ sessions: 2, locks: ['both'], cleans: false }), { depthMax: 3, states: 80 })
  await isGreen(() => coreSteps({ sessions: 3, locks: ['permits'], cleans: false }), { depthMax: 3, states: 80 })
})

/** With time: each of these is walked whole, which takes some ten seconds of a core at most, however busy the machine is. */
const wholeSecondsMax = 240

async function isWhole(world: keyof typeof ownerWorlds, states: number) {
  const walk = await isGreen(() => ownerSteps(ownerWorlds[world]), {
    states,
    depthMax: 200,
    secondsMax: wholeSecondsMax,
  })
  assert.ok(walk.isComplete, 'something was left out')
}

test('an owner whose commits are slow or unanswered answers nothing once another may have taken over', async () => {
  await isWhole('beats', 2_000)
})

test('nor one that is stopped, whose clock is slow, or whose machine was suspended', async () => {
  await isWhole('drift', 500)
})

test('a renewal that lay in the socket of an owner that was stopped is answered by nobody who was replaced', async () => {
  await isWhole('renewal', 3_000)
})

test('a holder believes in nothing that has ended, however late its renewals are, and nobody does beside it', async () => {
  await isWhole('holder', 1_000)
})

test('who renewed for longer is waited for by the next owner as well', async () => {
  await isWhole('longer', 2_000)
})

test('an owner that hands over answers nothing that the next one could contradict', async () => {
  await isWhole('handOver', 3_500)
})

test('an owner that is killed is replaced, and who waits can have the lock', async () => {
  const world = await ownerSteps({ ...ownerWorlds.longer, renewals: 0, isAwaited: true })
  const taken: string[] = []
  for (let steps = world.steps(); steps.length > 0; steps = world.steps()) {
    // Time goes on when there is nothing else to do.
    const step = steps.find(one => one === 'a is killed') ?? steps[0] ?? ''
    taken.push(step)
    await world.take(step)
  }
  assert.ok(taken.includes('a is killed'))
  assert.ok(taken.includes('d asks b'), taken.join('; '))
})

/** Two counters that are read and written in steps of their own: some order loses a count. */
function counters(): Steps {
  const read = [-1, -1]
  const done = [false, false]
  let count = 0
  return {
    steps: () => [0, 1].flatMap(who => (done[who] ? [] : [read[who] === -1 ? `${who} reads` : `${who} writes`])),
    take(step) {
      const who = Number(step[0])
      if (step.endsWith('reads')) read[who] = count
      else {
        count = (read[who] ?? 0) + 1
        done[who] = true
      }
      if (done[0] && done[1] && count !== 2) throw new Violation(`${count} of 2`)
    },
    state: () => JSON.stringify([read, done, count]),
  }
}

test('a fault that only some orders show is found, with the steps that lead to it', async () => {
  const { violation } = await explore(counters, limits)
  assert.match(violation?.error.message ?? '', /1 of 2/)
  assert.equal(violation?.path.length, 4)
})
