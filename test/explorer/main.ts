/**
 * `npm run explore [-- WORLD… | --list]`: walks small worlds in every order of their steps, and says how many states that were, how deep and in what time. Ends
 * with 1 at a violation, which is printed with the steps that lead to it.
 */
import { explore } from './explore.ts'
import { worlds } from './worlds.ts'

const names = process.argv.slice(2).filter(name => !name.startsWith('--'))
const unknown = names.filter(name => !worlds.some(world => world.name === name))
if (process.argv.includes('--list') || unknown.length > 0) {
  for (const { name, about } of worlds) console.log(`${name.padEnd(20)} ${about}`)
  process.exit(unknown.length > 0 ? 2 : 0)
}

for (const { name, make, limits } of worlds.filter(world => names.length === 0 || names.includes(world.name))) {
  const { states, transitions, depth, runs, seconds, isComplete, violation } = await explore(make, limits)
  const extent = isComplete
    ? 'complete'
    : `bounded by ${limits.depthMax} steps, ${limits.statesMax} states, ${limits.secondsMax} s`
  console.log(
    `${name}: ${states} states, ${transitions} transitions, depth ${depth}, ${runs} runs, ${seconds.toFixed(1)} s, ${extent}`,
  )
  if (!violation) continue
  console.log(violation.path.map((step, place) => `${String(place + 1).padStart(4)}  ${step}`).join('\n'))
  console.log(violation.error.stack)
  process.exitCode = 1
}
