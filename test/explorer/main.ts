/** `npm run explore`: walks small worlds in every order of their steps, and says how many states that were, how deep and in what time. */
import { commandLine } from '../../scripts/command-line.ts'
import { explore } from './explore.ts'
import { worlds } from './worlds.ts'

const { rest: names, list } = commandLine({
  name: 'npm run explore',
  about:
    'Walks small worlds in every order of their steps. Ends with 1 at a violation, which is printed with the steps that lead to it.',
  options: { list: { is: 'flag', about: 'the worlds' } },
  rest: { value: 'WORLD…', known: worlds.map(({ name }) => name), about: 'these worlds' },
})
if (list) {
  for (const { name, about } of worlds) console.log(`${name.padEnd(20)} ${about}`)
  process.exit(0)
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
