/**
 * `npm run known-bad [-- --seconds N] [--system NAME]`: systems that are known to let two in at once, under the same clients, the same pauses and the same
 * resource as Holdfast, so many seconds each (30). Ends with 1 when one of them is not caught, or Holdfast is.
 */
import { parseArgs } from 'node:util'
import { expiredWaiters } from './expired-waiter.ts'
import { type Run, run } from './run.ts'
import { systems } from './systems.ts'
import { isAsExpected } from './verdict.ts'

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '30' }, system: { type: 'string' } },
})
const rows: string[] = []
let isGreen = true

for (const system of systems.filter(({ name }) => values.system === undefined || name === values.system)) {
  const result = await run(system, { seconds: Number(values.seconds) })
  if (typeof result === 'string') {
    isGreen = false
    rows.push(`| ${system.title} | not run: ${result} | | | | | | |`)
  } else {
    isGreen &&= isAsExpected(result)
    rows.push(row(result))
  }
  console.error(rows.at(-1))
}
if (values.system === undefined || values.system === 'v3lock') {
  const found = await expiredWaiters()
  if (typeof found === 'string') isGreen = false
  else isGreen &&= found.stuck + found.deceived > 0
  console.error(`etcd’s lock RPC, waiters whose lease has run out: ${JSON.stringify(found)}`)
}
console.log('| system | stops of a holder | grants | writes | two at once | stale, taken | stale, refused | verdict |')
console.log(`|---|---|---|---|---|---|---|---|\n${rows.join('\n')}`)
process.exitCode = isGreen ? 0 : 1

function row(result: Run): string {
  const { system, stops, grants, writes, believers, stale, refused } = result
  const good = system.isKnownBad ? 'caught' : 'safe'
  const bad = system.isKnownBad ? '**NOT caught**' : '**NOT safe**'
  const cells = [system.title, stops, grants, writes, believers, stale, refused, isAsExpected(result) ? good : bad]
  return `| ${cells.join(' | ')} |`
}
