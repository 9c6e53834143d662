/** `npm run crash`: cuts the power at many points of recorded loads of the embedded store, and sees whether each comes back with all that was answered for. */
import { commandLine } from '../../scripts/command-line.ts'
import { bugsOfCrashes, crashWith } from './bugs.ts'
import { countTurns } from './points.ts'
import { whyNot } from './record.ts'
import { type Crashes, crash, type Load, loaded } from './run.ts'

const POINTS = 1_500
const COMMITS = 100
/** Of the disk that ignores syncs, and of each bug. */
const POINTS_TO_FAIL = 300
const PROGRESS_POINTS = 250

const {
  points,
  commits,
  seed: first,
} = commandLine({
  name: 'npm run crash',
  about:
    'Cuts the power at many points of recorded loads of the embedded store, and sees whether each comes back with all that was answered for. Then sees that the apparatus can ' +
    'fail: on a disk that ignores syncs, and with each bug that answers too early. Ends with 0 when nothing was lost where it must not be and something where it must.',
  options: {
    points: { is: 'number', default: POINTS, about: 'at which the power is cut' },
    commits: { is: 'number', default: COMMITS, about: 'of each load' },
    seed: { is: 'number', default: 1, about: 'the first' },
  },
})

const reason = whyNot()
if (reason) {
  console.log(`Not run: ${reason}.`)
  process.exitCode = 2
} else process.exitCode = (await runAll()) ? 0 : 1

async function runAll(): Promise<boolean> {
  const beganMs = performance.now()
  let isGreen = true
  let total = 0
  for (let seed = first; total < points; seed += 10) {
    const load = await loaded({ seed, commits })
    try {
      const found = await crash(load, {
        ...{ points: points - total, seed, isDeaf: false },
        looked: (_, done, of) => done % PROGRESS_POINTS === 0 && console.log(`  ${done} of ${of}`),
      })
      total += found.points
      report(`seed ${seed}`, load, found)
      isGreen &&= found.violations.length === 0
      if (seed === first) isGreen = (await deaf(load, seed)) && isGreen
    } finally {
      load.remove()
    }
  }
  console.log(`${total} points in ${Math.round((performance.now() - beganMs) / 1_000)} s`)
  for (const id of bugsOfCrashes) {
    const { violations } = await crashWith(id, { seed: first, commits, points: POINTS_TO_FAIL })
    console.log(`${violations.length > 0 ? '✔ found' : '✖ NOT FOUND'}: ${id}: ${violations[0]?.violation ?? ''}`)
    isGreen &&= violations.length > 0
  }
  return isGreen
}

/** Syncs that do nothing must be seen to lose. */
async function deaf(load: Load, seed: number): Promise<boolean> {
  const { points: looked, violations } = await crash(load, { points: POINTS_TO_FAIL, seed, isDeaf: true })
  console.log(`On a disk that ignores syncs: ${violations.length} of ${looked} points have lost something`)
  return violations.length > 0
}

function report(
  name: string,
  { recording, batches }: Load,
  { points: looked, byKind, settling, revisions, violations }: Crashes,
) {
  const count = (type: string) => recording.events.filter(event => event.type === type).length
  console.log(
    `${name}: ${recording.commits.at(-1)!.length - 2} commits, ${batches} batches, ${recording.restarts} kill -9 between; ` +
      `${count('written')} pieces written, ${count('synced')} syncs, ${countTurns(recording)} turns from one journal to the other`,
  )
  const kinds = Object.entries(byKind).map(([kind, number]) => `${number} ${kind}`)
  console.log(
    `${looked} points (${kinds.join(', ')}), ${settling} while LMDB was written, back at ${revisions} states; ${violations.length} violations`,
  )
  for (const { point, violation } of violations.slice(0, 20)) console.log(`  ${JSON.stringify(point)}: ${violation}`)
}
