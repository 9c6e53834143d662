/** The side by side in its smallest form, from servers to page: that it runs, keeps all rounds, and writes what can be read. No figure is judged. */
import { strict as assert } from 'node:assert'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryFolder } from '../harness/process.ts'
import { type Kept, machineNow } from './kept.ts'
import { regionsOf, writePage } from './page.ts'
import { figure, losses } from './side-by-side/figures.ts'
import { type Matrix, matrix } from './side-by-side/matrix.ts'
import { plotsOf, writePlots } from './side-by-side/plots.ts'
import { linear, logarithmic } from './side-by-side/svg.ts'
import { works } from './side-by-side/works.ts'

const smallest = works.filter(({ id }) => ['uncontended-1', 'uncontended-64', 'convoy'].includes(id))

test('the smallest matrix runs from servers to page, and what it writes is well-formed', async () => {
  const options = {
    contenders: ['holdfast-embedded', 'redlock-one'],
    works: smallest,
    rounds: 2,
    seconds: 0.1,
  } as const
  const result = await matrix(options)
  // A peer that cannot be had here is told of, and is in the tables all the same.
  assert.deepEqual(
    [...result.contenders, ...result.notRun].map(({ id }) => id),
    [...options.contenders],
  )
  for (const { id } of smallest)
    for (const { id: contender } of result.contenders) {
      const cell = result.cells[id]?.[contender]
      assert(cell && 'rounds' in cell, `${contender} at ${id}: ${JSON.stringify(cell)}`)
      assert.equal(cell.rounds.length, options.rounds)
      for (const round of cell.rounds) {
        assert(round.cycles > 0 && round.perSecond >= 0)
        assert(round.p50Ms <= round.p99Ms && round.p99Ms <= round.p999Ms)
      }
    }
  // One for the grant, one for its end; whatever the server writes beside them comes on top.
  assert((figure(result.cells['uncontended-1']?.['holdfast-embedded'], 'commits')?.low ?? 0) >= 2)
  const folder = temporaryFolder('page')
  const page = join(folder.path, 'page.md')
  const regions = ['side-by-side', 'losses']
  const comments = regions.map(name => `<!-- ${name}: written by npm run bench -->\nold\n<!-- ${name}: end -->`)
  writeFileSync(page, ['# A page', ...comments, 'The end.'].join('\n\n'))
  const plots = { list: writePlots(result, join(folder.path, 'plots')), folder: join(folder.path, 'plots') }
  writePage(page, regionsOf(kept(result), { plots, page }))
  const text = readFileSync(page, 'utf8')
  assert.match(text, /^# A page[\s\S]*The end\.$/)
  assert(!text.includes('\nold\n'))
  assertTables(text)
  for (const { file } of plots.list) assert(text.includes(`](plots/${file})`), `${file} is shown`)
  for (const { file } of plots.list) assertXml(readFileSync(join(plots.folder, file), 'utf8'), file)
  folder.remove()
})

test('what has no meaning, has failed or is not run has its place in tables, and none in plots', () => {
  const result = invented()
  assert.deepEqual(losses(result), [
    { work: 'Work', ours: 'Ours', peer: 'Better', quantity: 'throughput', times: 2, isApart: true },
    { work: 'Work', ours: 'Ours', peer: 'Better', quantity: 'p50', times: 1.5, isApart: false },
  ])
  const { 'side-by-side': tables = '', losses: lost = '' } = regionsOf(kept(result), { plots: null, page: 'page.md' })
  assertTables(tables)
  assert.match(tables, /\| Broken \| failed \| – \|/)
  assert.match(tables, /\| Absent \| not run \|/)
  assert.match(tables, /Broken: failed: Error: it broke/)
  assert.match(tables, /Absent\*\*: not run: there is none/)
  assert.match(lost, /\*\*Ours\*\* is behind/)
  assert.match(lost, /\| Work \| Better 2 × \| Better ~ 1\.5 × \|/)
  assertTables(lost)
  for (const { file, text } of plotsOf(result)) {
    assertXml(text, file)
    assert(!text.includes('Broken') && !text.includes('Absent'), file)
    assert(!text.includes('NaN'), file)
  }
})

test('an axis begins and ends at round numbers that hold all that is drawn', () => {
  const scale = logarithmic([3, 40], { from: 0, to: 100 })
  assert.deepEqual(scale.ticks, [2, 5, 10, 20, 50])
  assert.deepEqual([scale.at(2), scale.at(10), scale.at(50)].map(Math.round), [0, 50, 100])
  assert.deepEqual(logarithmic([0.5, 90_000], { from: 0, to: 1 }).ticks, [1, 10, 100, 1_000, 10_000, 100_000])
  assert.deepEqual(linear([37, 12], { from: 0, to: 400 }).ticks, [0, 10, 20, 30, 40])
})

function kept(result: Matrix): Kept {
  const report = { question: 'Side by side', about: '', rows: [], verdicts: [], matrix: result }
  return {
    at: new Date(0).toISOString(),
    command: 'npm run bench',
    machine: machineNow(),
    isQuick: true,
    reports: { matrix: report },
  }
}

function invented(): Matrix {
  const round = { cycles: 10, p99Ms: 1, p999Ms: 1, serverCpuUs: 1, clientCpuUs: 1, memoryMiB: null, commits: 1 }
  const contender = { durability: '', waiting: '', commits: null }
  return {
    rounds: 2,
    seconds: 1,
    contenders: [
      { ...contender, id: 'holdfast-embedded', label: 'Ours', name: 'Ours | with a bar' },
      { ...contender, id: 'redlock-one', label: 'Better', name: 'Better' },
      { ...contender, id: 'zookeeper', label: 'Broken', name: 'Broken' },
    ],
    works: [{ id: 'uncontended-512', name: 'Work', about: 'What is done.', inFlight: 512, isContended: false }],
    cells: {
      'uncontended-512': {
        'holdfast-embedded': {
          rounds: [
            { ...round, perSecond: 90, p50Ms: 2 },
            { ...round, perSecond: 100, p50Ms: 3 },
          ],
        },
        'redlock-one': {
          rounds: [
            { ...round, perSecond: 190, p50Ms: 2 },
            { ...round, perSecond: 200, p50Ms: 2 },
          ],
        },
        zookeeper: { failed: 'Error: it broke\n  at somewhere' },
      },
    },
    notRun: [{ id: 'postgres', label: 'Absent', why: 'there is none' }],
  }
}

/** Each row of each table has as many fields as its head, and each table has a row for its figures. */
function assertTables(text: string): void {
  const blocks = text.split('\n\n').filter(block => block.trimStart().startsWith('|'))
  assert(blocks.length > 0)
  for (const block of blocks) {
    const fields = block
      .trim()
      .split('\n')
      .map(line => line.replaceAll('\\|', '').split('|').length)
    assert(fields.length > 2, block)
    assert(
      fields.every(count => count === fields[0]),
      block,
    )
  }
}

/** Every element is closed by its own name, nothing is left open, and no text has bare signs of markup. */
function assertXml(text: string, file: string): void {
  const open: string[] = []
  let rest = ''
  let at = 0
  for (const match of text.matchAll(/<(\/?)([a-z]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/g)) {
    rest += text.slice(at, match.index)
    at = match.index + match[0].length
    const [, isEnd, name, , isEmpty] = match
    if (isEnd) assert.equal(open.pop(), name, file)
    else if (!isEmpty) open.push(name!)
  }
  rest += text.slice(at)
  assert.deepEqual(open, [], file)
  assert(!/[<>]|&(?!amp;|lt;|gt;)/.test(rest), `${file}: ${rest}`)
  assert(text.startsWith('<svg xmlns="http://www.w3.org/2000/svg"'), file)
}
