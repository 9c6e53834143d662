/**
 * `npm run bench`: each question in turn, peers in the same run, a table for people and JSON for programs. Exit code 0 whatever the figures: a
 * benchmark informs, it does not gate.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { commandLine } from '../../scripts/command-line.ts'
import { type Kept, machineNow } from './kept.ts'
import { regionsOf, writePage } from './page.ts'
import { type ContenderId, contenders } from './peers/contenders.ts'
import { familyOf } from './peers/peer.ts'
import { print } from './print.ts'
import { progress, progressOver } from './progress.ts'
import { groups, questions } from './questions/questions.ts'
import { writePlots } from './side-by-side/plots.ts'

const values = commandLine({
  name: 'npm run bench',
  about: `Each question in turn, peers in the same run. The page of the docs is made by
npm run bench -- --only side-by-side --plots docs/plots --page docs/benchmarks.md`,
  options: {
    only: {
      is: 'names',
      value: 'NAME,…',
      known: [...Object.keys(questions), ...Object.keys(groups)],
      about: 'these questions or groups of them (all but the group side-by-side)',
    },
    quick: { is: 'flag', about: 'in a fraction of the time: whether it runs, not how fast' },
    peers: {
      is: 'names',
      value: 'NAME,…',
      known: Object.keys(contenders),
      about: 'of the side by side: only these contenders',
    },
    json: { is: 'text', value: 'FILE', default: 'bench-results/latest.json', about: 'where all rounds are kept' },
    plots: { is: 'text', value: 'FOLDER', about: 'draw the side by side, as SVG' },
    page: { is: 'text', value: 'FILE', about: 'write tables, plots and losses into this page, between its comments' },
    from: { is: 'text', value: 'FILE', about: 'measure nothing: take what was kept there, for --plots and --page' },
    list: { is: 'flag', about: 'the questions, the groups and the contenders' },
  },
})

// Whoever stops it in the middle leaves no servers behind.
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    for (const pid of familyOf(process.pid).slice(1)) stop(pid)
    process.exit(1)
  })

if (values.list) list()
else {
  // What `--json` of an earlier run has written.
  const kept = values.from ? (JSON.parse(readFileSync(values.from, 'utf8')) as Kept) : await measured()
  publish(kept)
}
process.exit(0)

async function measured(): Promise<Kept> {
  const names = values.only ?? []
  const peers = values.peers && { peers: values.peers as ContenderId[] } // all of them are known
  const machine = machineNow()
  const how = values.quick ? ' — quick: figures are rough' : ''
  console.log(
    `${machine.cpus} × ${machine.model}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}${how}`,
  )
  const reports: Kept['reports'] = {}
  const wanted = names.length > 0 ? names.flatMap(name => groups[name]?.of ?? [name]) : groups.usual!.of
  for (const [index, name] of wanted.entries()) {
    progress(`${name} (${index + 1} of ${wanted.length})`)
    const report = await questions[name]!.ask({ isQuick: values.quick, ...peers })
    progressOver()
    reports[name] = report
    print(report)
  }
  const kept = { at: new Date().toISOString(), command: commandOf(), machine, isQuick: values.quick, reports }
  mkdirSync(dirname(values.json), { recursive: true })
  writeFileSync(values.json, `${JSON.stringify(kept, null, 2)}\n`)
  console.log(`\nWritten to ${values.json}`)
  return kept
}

/** What was asked, without where it was to be written. */
function commandOf(): string {
  const words = ['npm run bench --']
  for (const name of ['only', 'peers'] as const) if (values[name]) words.push(`--${name} ${values[name].join(',')}`)
  if (values.quick) words.push('--quick')
  return words.length > 1 ? words.join(' ') : 'npm run bench'
}

function stop(pid: number): void {
  try {
    // What they keep is thrown away, and one whose store is gone would wait for it.
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has gone by itself, as when the terminal's interrupt reached it too.
  }
}

function publish(kept: Kept): void {
  const { matrix } = kept.reports.matrix ?? {}
  const plots = matrix && values.plots ? { list: writePlots(matrix, values.plots), folder: values.plots } : null
  if (plots) console.log(`Drawn: ${plots.list.map(({ file }) => `${plots.folder}/${file}`).join(', ')}`)
  if (!values.page) return
  writePage(values.page, regionsOf(kept, { plots, page: values.page }))
  console.log(`Written into ${values.page}`)
}

function list(): void {
  const width = 18
  const say = (title: string, lines: [string, string][]) =>
    console.log(`${title}\n${lines.map(([name, about]) => `  ${name.padEnd(width)} ${about}`).join('\n')}\n`)
  say(
    'Questions',
    Object.entries(questions).map(([name, { about }]) => [name, about]),
  )
  say(
    'Groups',
    Object.entries(groups).map(([name, { about, of }]) => [name, `${about}: ${of.join(', ')}`]),
  )
  say(
    'Contenders',
    Object.entries(contenders).map(([name, { label }]) => [name, label]),
  )
}
