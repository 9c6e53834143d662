/**
 * `npm test [-- FILTER…]`: runs every test of the repository, or those whose path contains a FILTER, and ends with a line that says how many
 * passed and failed. Two files at a time; a file that does not end in time has failed.
 *
 * A few files that failed are run once more, one at a time: on a machine that is busy with other things a process may get no time for seconds,
 * which a lock service is right to take for a death. What failed at first is said at the end, with its message, last of all; what fails twice has failed.
 * Tests whose time is not that of the machine (the core, the simulator, the explorer, the judges, what is planted) are never run again: what is red
 * there once is a bug that a seed or a race has found, and the next run may miss it. With TEST_ONCE=1 nothing is (decision 0141).
 */
import { globSync } from 'node:fs'
import { relative } from 'node:path'
import { run } from 'node:test'
import { fileURLToPath } from 'node:url'
import { nodeFlags } from './node.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
/** The longest file (kill -9 in a loop) takes minutes on two shared cores. */
const FILE_TIMEOUT_MS = 12 * 60_000
const FILES_AT_ONCE = 2
/** More than these are no accident. */
const FILES_AGAIN_MAX = 5
/** On time of their own, or on none: chance is drawn from seeds. */
const runOnce = [
  'packages/server/src/locks/',
  ...['checker', 'crash', 'explorer', 'planted', 'simulation', 'simulator'].map(room => `test/${room}/`),
]
/** Begun first, so that the end of the run does not wait for one of them alone. */
const longest = ['test/system/kill.test.ts']

const filters = process.argv.slice(2)
const files = globSync('{packages/*/src,test,examples}/**/*.test.ts', { cwd: root })
  .filter(file => filters.length === 0 || filters.some(filter => file.includes(filter)))
  .sort((a, b) => Number(!longest.includes(a)) - Number(!longest.includes(b)) || (a < b ? -1 : 1))
  .map(file => `${root}${file}`)

if (files.length === 0) {
  console.error(`No test file matches ${filters.join(' ')}.`)
  process.exit(2)
}

type Outcome = { file: string; passed: number; failed: number; skipped: number; failures: string[] }

// A test that fails may leave a server or a client behind; its file must end all the same.
const execArgv = [...nodeFlags, '--test-force-exit']
const name = (data: { name: string; file?: string }) => `${data.file ? relative(root, data.file) : ''}: ${data.name}`
// A file's own row is not a test, unless it could not be run at all.
const isFile = (data: { name: string; nesting: number }) => data.nesting === 0 && data.name.endsWith('.test.ts')

function runFile(file: string): Promise<Outcome> {
  const outcome: Outcome = { file, passed: 0, failed: 0, skipped: 0, failures: [] }
  const stream = run({ files: [file], execArgv, timeout: FILE_TIMEOUT_MS })
  stream.on('test:pass', data => {
    if (isFile(data) || data.details.type === 'suite') return
    if (data.skip !== undefined) {
      outcome.skipped++
      console.log(`- skipped ${name(data)}: ${data.skip === true ? 'no reason given' : data.skip}`)
    } else {
      outcome.passed++
      console.log(`✔ ${name(data)} (${Math.round(data.details.duration_ms)} ms)`)
    }
  })
  stream.on('test:fail', data => {
    if (data.details.type === 'suite') return
    outcome.failed++
    const { error } = data.details
    const text = `✖ ${name(data)}\n${error.cause instanceof Error ? error.cause.stack : String(error.cause ?? error)}\n`
    console.log(text)
    outcome.failures.push(text)
  })
  stream.on('test:stderr', data => process.stderr.write(data.message))
  stream.resume()
  return new Promise(resolve => stream.on('end', () => resolve(outcome)))
}

async function runAll(queue: readonly string[], atOnce: number): Promise<Outcome[]> {
  const left = [...queue]
  const outcomes: Outcome[] = []
  const lane = async () => {
    for (let file = left.shift(); file !== undefined; file = left.shift()) outcomes.push(await runFile(file))
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  return outcomes
}

const began = process.hrtime.bigint()
let outcomes = await runAll(files, FILES_AT_ONCE)
const failedAtFirst = outcomes.filter(({ failed }) => failed > 0)
const mayRunAgain = ({ file }: Outcome) => !runOnce.some(room => relative(root, file).startsWith(room))
const isAllowed = process.env.TEST_ONCE !== '1'
const isFew = isAllowed && failedAtFirst.length <= FILES_AGAIN_MAX && files.length > 1
const chosen = isFew ? failedAtFirst.filter(mayRunAgain).map(({ file }) => file) : []
let again: Outcome[] = []
if (chosen.length > 0) {
  console.log(`\nOnce more, one at a time: ${chosen.map(file => relative(root, file)).join(', ')}\n`)
  again = await runAll(chosen, 1)
  outcomes = [...outcomes.filter(({ file }) => !chosen.includes(file)), ...again]
}

const sum = (of: (outcome: Outcome) => number) => outcomes.reduce((total, outcome) => total + of(outcome), 0)
const [passed, failed, skipped] = [sum(one => one.passed), sum(one => one.failed), sum(one => one.skipped)]
const seconds = Number((process.hrtime.bigint() - began) / 1_000_000_000n)
const texts = outcomes.flatMap(({ failures }) => failures)
if (texts.length > 0) console.log(`\nWhat failed:\n\n${texts.join('\n')}`)
const passedThen = again.filter(one => one.failed === 0).map(({ file }) => file)
const onlyAtFirst = failedAtFirst.filter(({ file }) => passedThen.includes(file)).flatMap(({ failures }) => failures)
if (onlyAtFirst.length > 0)
  console.log(`\nWhat failed at first and passed when it was run once more, alone:\n\n${onlyAtFirst.join('\n')}`)
const atFirst = onlyAtFirst.length > 0 ? `; ${onlyAtFirst.length} FAILED AT FIRST (above)` : ''
console.log(`\n${files.length} files in ${seconds} s${atFirst}`)
// Programs read this line: nothing else stands in it.
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
process.exitCode = failed > 0 || passed === 0 ? 1 : 0
