/** `npm run planted`: plants every bug of the table, or those named, and sees whether the test that must find it does. */
import { commandLine } from '../../scripts/command-line.ts'
import { bugs } from './bugs.ts'
import { type Found, findAll, type Verdict } from './find.ts'
import { report } from './report.ts'

const { rest: ids, json } = commandLine({
  name: 'npm run planted',
  about:
    'Plants every bug of the table, or those named, and sees whether the test that must find it does; each of these tests is run as it is first. Writes a table in Markdown. ' +
    'Ends with 1 when a bug was not found or the table is stale.',
  options: { json: { is: 'flag', about: 'JSON instead of the table' } },
  rest: { value: 'ID…', known: bugs.map(({ id }) => id), about: 'these bugs' },
})
const chosen = ids.length === 0 ? bugs : bugs.filter(bug => ids.includes(bug.id))
const found: Found[] = []
for await (const one of findAll(chosen)) {
  found.push(one)
  const { bug, verdict, ms, message } = one
  console.error(`${verdict === 'found' ? '✔' : '✖'} ${bug.id}: ${verdict} (${ms} ms)${message && ` ${message}`}`)
}
console.log(json ? JSON.stringify(found, null, 2) : report(found))
const count = (verdict: Verdict) => found.filter(one => one.verdict === verdict).length
const [seen, skipped] = [count('found'), count('skipped here')]
console.error(
  `${seen} of ${found.length} planted bugs found${skipped > 0 ? `, ${skipped} could not be looked for here` : ''}`,
)
process.exitCode = seen + skipped < found.length ? 1 : 0
