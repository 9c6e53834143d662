/**
 * `npm run bench [-- --quick] [--only NAME,…] [--json FILE]`: each question in turn, peers in the same run, a table for people and JSON for
 * programs. Exit code 0 whatever the figures: a benchmark informs, it does not gate.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { clusterCycles, clusterEndurance, clusterHandOver } from './questions/cluster.ts'
import { cycles } from './questions/cycles.ts'
import { encryption } from './questions/encryption.ts'
import { growth } from './questions/growth.ts'
import { handOver, oneAtATime } from './questions/latency.ts'
import { neighbour } from './questions/neighbour.ts'
import { recovery } from './questions/recovery.ts'
import { renewals } from './questions/renewals.ts'
import { rest } from './questions/rest.ts'
import { space } from './questions/space.ts'
import { print, type Report } from './report.ts'

const questions = {
  cycles,
  'one-at-a-time': oneAtATime,
  'hand-over': handOver,
  rest,
  encryption,
  renewals,
  growth,
  recovery,
  space,
  neighbour,
  'cluster-cycles': clusterCycles,
  'cluster-hand-over': clusterHandOver,
  'cluster-endurance': clusterEndurance,
}

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    json: { type: 'string', default: 'bench-results/latest.json' },
  },
})
const wanted = values.only?.split(',') ?? Object.keys(questions)
const unknown = wanted.filter(name => !(name in questions))
if (unknown.length > 0) {
  console.error(`No question is called ${unknown.join(', ')}; there are: ${Object.keys(questions).join(', ')}.`)
  process.exit(2)
}

const machine = {
  cpus: cpus().length,
  model: cpus()[0]?.model ?? '',
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  kernel: release(),
  node: process.version,
}
console.log(
  `${machine.cpus} × ${machine.model}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}${values.quick ? ' — quick: figures are rough' : ''}`,
)
const reports: Record<string, Report> = {}
for (const name of wanted) {
  const report = await questions[name as keyof typeof questions]({ isQuick: values.quick })
  reports[name] = report
  print(report)
}
mkdirSync(dirname(values.json), { recursive: true })
writeFileSync(
  values.json,
  `${JSON.stringify({ at: new Date().toISOString(), machine, isQuick: values.quick, reports }, null, 2)}\n`,
)
console.log(`\nWritten to ${values.json}`)
process.exit(0)
