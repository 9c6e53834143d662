/**
 * `npm test [-- FILTER…]`: runs every test of the repository, or those whose path contains a FILTER, and ends with a line that says how many
 * passed and failed. Two files at a time; a file that does not end in time has failed.
 */
import { globSync } from 'node:fs'
import { relative } from 'node:path'
import { run } from 'node:test'
import { fileURLToPath } from 'node:url'
import { nodeFlags } from './node.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
/** The longest file (kill -9 in a loop) takes minutes on two shared cores. */
const FILE_TIMEOUT_MS = 8 * 60_000

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

const counts = { passed: 0, failed: 0, skipped: 0 }
const failures: string[] = []
const began = process.hrtime.bigint()
// A test that fails may leave a server or a client behind; its file must end all the same.
const execArgv = [...nodeFlags, '--test-force-exit']
const stream = run({ files, concurrency: 2, execArgv, timeout: FILE_TIMEOUT_MS })

const name = (data: { name: string; file?: string }) => `${data.file ? relative(root, data.file) : ''}: ${data.name}`
// A file's own row is not a test, unless it could not be run at all.
const isFile = (data: { name: string; nesting: number }) => data.nesting === 0 && data.name.endsWith('.test.ts')

stream.on('test:pass', data => {
  if (isFile(data) || data.details.type === 'suite') return
  if (data.skip !== undefined) {
    counts.skipped++
    console.log(`- skipped ${name(data)}: ${data.skip === true ? 'no reason given' : data.skip}`)
  } else {
    counts.passed++
    console.log(`✔ ${name(data)} (${Math.round(data.details.duration_ms)} ms)`)
  }
})
stream.on('test:fail', data => {
  if (data.details.type === 'suite') return
  counts.failed++
  const { error } = data.details
  const text = `✖ ${name(data)}\n${error.cause instanceof Error ? error.cause.stack : String(error.cause ?? error)}\n`
  console.log(text)
  failures.push(text)
})
stream.on('test:stderr', data => process.stderr.write(data.message))
stream.resume()
stream.on('end', () => {
  const seconds = Number((process.hrtime.bigint() - began) / 1_000_000_000n)
  if (failures.length > 0) console.log(`\nWhat failed:\n\n${failures.join('\n')}`)
  console.log(`\n${files.length} files in ${seconds} s`)
  console.log(
    `${counts.passed} passed, ${counts.failed} failed${counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''}`,
  )
  process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0
})
