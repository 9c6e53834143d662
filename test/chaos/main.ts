/** `npm run chaos`: real etcd members, servers and client processes, under real faults, each scenario judged by what clients saw, what the store held, and what the protected resource took. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { commandLine } from '../../scripts/command-line.ts'
import { progressOf, table } from './report.ts'
import type { Result } from './result.ts'
import type { Rig } from './rig.ts'
import { runScenario } from './run.ts'
import { scenarios } from './scenarios/all.ts'

const SECONDS = 40

const {
  list,
  only,
  seconds,
  slack,
  json,
  seed = Date.now() % 1_000_000,
} = commandLine({
  name: 'npm run chaos',
  about: 'Real etcd members, servers and clients, under real faults. Ends with 1 when a scenario has failed.',
  options: {
    list: { is: 'flag', about: 'the scenarios, what each does and what it expects' },
    only: { is: 'names', value: 'ID,…', known: scenarios.map(({ id }) => id), about: 'these scenarios' },
    seconds: { is: 'number', default: SECONDS, about: 'of load in each' },
    seed: { is: 'number', least: 0, about: 'of what is left to chance (the clock)' },
    slack: {
      is: 'number',
      default: 1,
      about: 'for a machine that is busy with other things: bounds on time so many times what they are',
    },
    json: { is: 'text', value: 'FILE', default: 'chaos-results/latest.json', about: 'where results are kept' },
  },
})

if (list) {
  for (const { id, name, does, expects } of scenarios) console.log(`${id.padStart(3)}  ${name}: ${does}; ${expects}`)
} else await runAll()

async function runAll(): Promise<void> {
  let rig: Rig | null = null
  let isStopped = false
  const stop = () => {
    isStopped = true
    void rig?.stop()
  }
  process.once('SIGINT', stop).once('SIGTERM', stop)
  const results: Result[] = []
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-chaos-'))
  for (const scenario of scenarios.filter(({ id }) => !only || only.includes(id))) {
    if (isStopped) break
    const progress = progressOf(scenario, seconds)
    const began = (started: Rig) => {
      rig = started
      progress.of(started)
    }
    const own = join(folder, `scenario-${scenario.id}`)
    const result = await runScenario(scenario, { seed, seconds, slack, folder: own, began, tell: progress.tell })
    progress.end()
    if (isStopped) break
    results.push(result)
    console.log(table([result]))
    if (result.outcome !== 'failed') continue
    console.log(`  again: npm run chaos -- --only ${scenario.id} --seed ${seed} --seconds ${seconds}\n  files: ${own}`)
  }
  finish(results, { isStopped })
}

function finish(results: readonly Result[], { isStopped }: { isStopped: boolean }): void {
  mkdirSync(dirname(json), { recursive: true })
  writeFileSync(json, `${JSON.stringify({ seed, seconds, slack, load: loadavg(), results }, null, 2)}\n`)
  const count = (outcome: Result['outcome']) => results.filter(one => one.outcome === outcome).length
  console.log(
    `\n${table(results)}\n\nload of the machine at the end: ${loadavg()[0]?.toFixed(1)}; bounds times ${slack}`,
  )
  if (isStopped) console.log('Stopped before the end.')
  console.log(`${count('passed')} passed, ${count('failed')} failed, ${count('not run')} not run`)
  // Not when nothing is left to do: connections to processes that were killed may take their time.
  process.exit(count('failed') > 0 || isStopped || results.length === 0 ? 1 : 0)
}
