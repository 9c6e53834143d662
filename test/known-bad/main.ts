/** `npm run known-bad`: systems that are known to let two in at once, under the same clients, the same pauses and the same resource as Holdfast. */
import { commandLine } from '../../scripts/command-line.ts'
import { expiredWaiters } from './expired-waiter.ts'
import { type Run, run } from './run.ts'
import { systems } from './systems.ts'
import { isAsExpected } from './verdict.ts'

const { seconds, system: only } = commandLine({
  name: 'npm run known-bad',
  about:
    'Systems that are known to let two in at once, under the same clients, pauses and resource as Holdfast. Ends with 1 when one of them is not caught, or Holdfast is.',
  options: {
    seconds: { is: 'number', default: 30, about: 'each' },
    system: { is: 'name', value: 'NAME', known: systems.map(({ name }) => name), about: 'only this one' },
  },
})
const rows: string[] = []
let isGreen = true

for (const system of systems.filter(({ name }) => only === undefined || name === only)) {
  const result = await run(system, { seconds })
  if (typeof result === 'string') {
    isGreen = false
    rows.push(`| ${system.title} | not run: ${result} | | | | | | |`)
  } else {
    isGreen &&= isAsExpected(result)
    rows.push(row(result))
  }
  console.error(rows.at(-1))
}
if (only === undefined || only === 'v3lock') {
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
