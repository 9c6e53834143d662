/**
 * `npm run faults [-- ROUNDS [FILTER]]`: the faults of the cluster in their long form, one after another, each so many times (3), with the bounds
 * themselves asserted. Takes minutes, and wants the machine to itself: it measures times. `npm test` has the short form.
 */
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { nodeFlags } from './node.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const ROUNDS = 3

const [rounds = String(ROUNDS), filter = ''] = process.argv.slice(2)
if (!/^[1-9]\d*$/.test(rounds)) {
  console.error(`How often? A number of rounds, not ${JSON.stringify(rounds)}.`)
  process.exit(2)
}
const files = globSync('test/system/faults-*.test.ts', { cwd: root }).sort()
const failed = files.filter(file => {
  const named = filter === '' ? [] : [`--test-name-pattern=${filter}`]
  const args = [...nodeFlags, '--test', '--test-force-exit', '--test-reporter=spec', ...named, `${root}${file}`]
  const env = { ...process.env, TEST_ROUNDS: rounds }
  return spawnSync(process.execPath, args, { stdio: 'inherit', env }).status !== 0
})
console.log(failed.length === 0 ? 'All bounds kept.' : `Failed: ${failed.join(', ')}`)
process.exitCode = failed.length === 0 ? 0 : 1
