/**
 * `npm run planted [-- ID… | --json]`: plants every bug of the table, or those named, and sees whether the test that must find it does. First
 * each of these tests is run as it is. Writes a table in Markdown, or JSON; ends with 1 when a bug was not found or the table is stale.
 */
import { bugs } from './bugs.ts'
import { type Found, findAll, type Verdict } from './find.ts'
import { report } from './report.ts'

const args = process.argv.slice(2)
const isJson = args.includes('--json')
const ids = args.filter(arg => !arg.startsWith('--'))
const unknown = ids.filter(id => !bugs.some(bug => bug.id === id))
if (unknown.length > 0) {
  console.error(`There is no bug ${unknown.join(', ')}. Known: ${bugs.map(bug => bug.id).join(', ')}.`)
  process.exit(2)
}

const chosen = ids.length === 0 ? bugs : bugs.filter(bug => ids.includes(bug.id))
const found: Found[] = []
for await (const one of findAll(chosen)) {
  found.push(one)
  const { bug, verdict, ms, message } = one
  console.error(`${verdict === 'found' ? '✔' : '✖'} ${bug.id}: ${verdict} (${ms} ms)${message && ` ${message}`}`)
}
console.log(isJson ? JSON.stringify(found, null, 2) : report(found))
const count = (verdict: Verdict) => found.filter(one => one.verdict === verdict).length
const [seen, skipped] = [count('found'), count('skipped here')]
console.error(
  `${seen} of ${found.length} planted bugs found${skipped > 0 ? `, ${skipped} could not be looked for here` : ''}`,
)
process.exitCode = seen + skipped < found.length ? 1 : 0
