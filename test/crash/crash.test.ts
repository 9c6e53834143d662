/** The short form of `npm run crash`: a load of the embedded store, the power cut at many moments of it, and a disk that lies. */
import { strict as assert } from 'node:assert'
import { after, before, test } from 'node:test'
import { countTurns } from './points.ts'
import { whyNot } from './record.ts'
import { crash, type Load, loaded } from './run.ts'

const COMMITS = 40
/** Of the journals, after the two that are made: each is begun anew at least once. */
const TURNS_MIN = 4
const POINTS = 220
const POINTS_TO_FAIL = 60
const SEED = 1

const reason = whyNot()
let load: Load
before(async () => {
  if (!reason) load = await loaded({ seed: SEED, commits: COMMITS })
})
after(() => load?.remove())

test('wherever the power is cut, the store comes back with all that was answered for', {
  skip: reason ?? false,
}, async () => {
  const { points, byKind, settling, revisions, violations } = await crash(load, {
    points: POINTS,
    seed: SEED,
    isDeaf: false,
  })
  assert.deepEqual(
    violations.map(({ point, violation }) => `${JSON.stringify(point)}: ${violation}`),
    [],
  )
  assert.equal(points, POINTS)
  assert.ok(Math.min(...Object.values(byKind)) > 0, `of each kind: ${JSON.stringify(byKind)}`)
  assert.ok(countTurns(load.recording) >= TURNS_MIN, 'the journals fill')
  assert.ok(settling > POINTS / 10, `the power goes while LMDB takes over what a journal has: ${settling} times`)
  assert.ok(revisions > COMMITS / 2, `it came back to only ${revisions} states`)
})

test('on a disk that ignores syncs it is seen to lose', { skip: reason ?? false }, async () => {
  const choice = { points: POINTS_TO_FAIL, seed: SEED, isDeaf: true, isFirstEnough: true }
  const { violations } = await crash(load, choice)
  assert.notEqual(violations.length, 0)
})
