/**
 * `npm run fuzz [-- FACTOR]`: the fuzz of the whole API in its long form, FACTOR times (8) the requests of `npm test`: more than 50,000 by everybody
 * of two teams, and as many again with the root key alone. `TEST_SEED` repeats a run.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { nodeFlags } from './node.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const FACTOR = 8

const [factor = String(FACTOR)] = process.argv.slice(2)
if (!/^[1-9]\d*$/.test(factor)) {
  console.error(`How many times the requests of \`npm test\`? A number, not ${JSON.stringify(factor)}.`)
  process.exit(2)
}
const files = ['test/system/fuzz-tenants.test.ts', 'test/system/fuzz.test.ts']
const failed = files.filter(file => {
  const args = [...nodeFlags, '--test', '--test-force-exit', '--test-reporter=spec', `${root}${file}`]
  return (
    spawnSync(process.execPath, args, { stdio: 'inherit', env: { ...process.env, TEST_FUZZ: factor } }).status !== 0
  )
})
console.log(failed.length === 0 ? 'Every answer was as declared.' : `Failed: ${failed.join(', ')}`)
process.exitCode = failed.length === 0 ? 0 : 1
