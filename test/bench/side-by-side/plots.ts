/** What a matrix looks like: throughput over what is in flight, latencies, and CPU. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { number } from '../report.ts'
import { figure } from './figures.ts'
import type { Matrix } from './matrix.ts'
import { HUES, linear, logarithmic, type Point, type Scale, type Shape, svg } from './svg.ts'

export type Plot = { file: string; title: string; text: string }

const WIDTH = 760
const LEFT = 165
const RIGHT = 44
const TOP = 80
const ROW = 30
const FOOT = 46
/** Names stand at the ends of lines. */
const NAMES = 180
const LINES_HEIGHT = 420
/** Between two names, so that each can be read. */
const NAME_HEIGHT = 15

export function plotsOf(matrix: Matrix): Plot[] {
  const plots = [throughput(matrix)]
  for (const work of matrix.works) {
    if (work.isContended) plots.push(grants(matrix, work))
    if (work.inFlight > 1) plots.push(latency(matrix, work))
  }
  const busy = matrix.works.find(({ id }) => id === 'uncontended-512') ?? matrix.works[0]
  if (busy) plots.push(cpu(matrix, busy))
  return plots.filter(plot => plot !== null)
}

export function writePlots(matrix: Matrix, folder: string): Plot[] {
  const plots = plotsOf(matrix)
  mkdirSync(folder, { recursive: true })
  for (const { file, text } of plots) writeFileSync(join(folder, file), text)
  return plots
}

type Contender = Matrix['contenders'][number]
type Work = Matrix['works'][number]

/** Its colour is its place, so that it has the same one in each plot. */
const hueOf = (matrix: Matrix, { id }: Contender) => matrix.contenders.findIndex(one => one.id === id) % HUES
const isOurs = ({ id }: Contender) => id.startsWith('holdfast')
const nameStyle = (contender: Contender) => (isOurs(contender) ? 'ours' : '')

function heading(title: string, ...below: string[]): Shape[] {
  return [
    { kind: 'text', at: { x: 16, y: 26 }, text: title, style: 'title' },
    ...below.map((text, index): Shape => ({ kind: 'text', at: { x: 16, y: 44 + 16 * index }, text, style: 'small' })),
  ]
}

/** Both axes are logarithmic: it is ratios that are compared. */
function throughput(matrix: Matrix): Plot | null {
  const works = matrix.works.filter(({ isContended }) => !isContended)
  const lines = matrix.contenders.map(contender => ({
    contender,
    points: works.flatMap(({ id, inFlight }) => {
      const own = figure(matrix.cells[id]?.[contender.id], 'perSecond')
      return own ? [{ inFlight, perSecond: own.median }] : []
    }),
  }))
  const shown = lines.filter(({ points }) => points.length > 0)
  if (works.length < 2 || shown.length === 0) return null
  const bottom = LINES_HEIGHT - FOOT
  const right = WIDTH - NAMES
  const y = logarithmic(
    shown.flatMap(({ points }) => points.map(({ perSecond }) => perSecond)),
    { from: bottom, to: TOP },
  )
  const placed = works.map(({ inFlight }) => Math.log2(inFlight))
  const x = (inFlight: number) =>
    70 + ((Math.log2(inFlight) - placed[0]!) / (placed.at(-1)! - placed[0]! || 1)) * (right - 70)
  const shapes: Shape[] = heading(
    'Cycles a second on distinct locks',
    'acquire and release; median of the rounds; both axes logarithmic; more is better',
  )
  for (const tick of y.ticks) {
    shapes.push({ kind: 'line', from: { x: 70, y: y.at(tick) }, to: { x: right, y: y.at(tick) }, style: 'grid' })
    shapes.push({ kind: 'text', at: { x: 62, y: y.at(tick) + 4 }, text: number(tick), style: 'small', anchor: 'end' })
  }
  for (const { inFlight } of works)
    shapes.push({
      kind: 'text',
      at: { x: x(inFlight), y: bottom + 18 },
      text: number(inFlight),
      style: 'small',
      anchor: 'middle',
    })
  shapes.push({ kind: 'line', from: { x: 70, y: bottom }, to: { x: right, y: bottom }, style: 'axis' })
  shapes.push({
    kind: 'text',
    at: { x: (70 + right) / 2, y: bottom + 36 },
    text: 'in flight',
    style: 'small',
    anchor: 'middle',
  })
  const ends: { contender: Contender; at: Point }[] = []
  for (const { contender, points } of shown) {
    const hue = hueOf(matrix, contender)
    const drawn = points.map(({ inFlight, perSecond }) => ({ x: x(inFlight), y: y.at(perSecond) }))
    shapes.push({ kind: 'path', points: drawn, style: `path stroke${hue}${isOurs(contender) ? ' thick' : ''}` })
    for (const at of drawn) shapes.push({ kind: 'dot', at, radius: isOurs(contender) ? 4 : 3, style: `fill${hue}` })
    ends.push({ contender, at: drawn.at(-1)! })
  }
  for (const { contender, at } of apart(ends)) {
    shapes.push({
      kind: 'dot',
      at: { x: right + 14, y: at.y - 4 },
      radius: 4,
      style: `fill${hueOf(matrix, contender)}`,
    })
    shapes.push({ kind: 'text', at: { x: right + 24, y: at.y }, text: contender.label, style: nameStyle(contender) })
  }
  const about = shown.map(
    ({ contender, points }) =>
      `${contender.label}: ${points.map(({ inFlight, perSecond }) => `${number(perSecond)} at ${inFlight}`).join(', ')}`,
  )
  const size = {
    width: WIDTH,
    height: LINES_HEIGHT,
    title: 'Cycles a second over what is in flight',
    about: about.join('; '),
  }
  return { file: 'throughput.svg', title: size.title, text: svg(size, shapes) }
}

/** From top to bottom in the order of the lines' ends, but never one on another. */
function apart(ends: { contender: Contender; at: Point }[]): { contender: Contender; at: Point }[] {
  const sorted = ends
    .map(({ contender, at }) => ({ contender, at: { x: at.x, y: at.y + 4 } }))
    .sort((one, other) => one.at.y - other.at.y)
  for (const [index, { at }] of sorted.entries()) at.y = Math.max(at.y, (sorted[index - 1]?.at.y ?? 0) + NAME_HEIGHT)
  // Those that were pushed below the plot push the others up.
  for (let index = sorted.length - 1, limit = LINES_HEIGHT - FOOT; index >= 0; index--, limit -= NAME_HEIGHT)
    sorted[index]!.at.y = Math.min(sorted[index]!.at.y, limit)
  return sorted
}

type Row = { contender: Contender; values: number[] }

function latency(matrix: Matrix, { id, name: work, about }: Work): Plot | null {
  const title = `${work}: p50, p99, p99.9`
  const rows = matrix.contenders.flatMap((contender): Row[] => {
    const values = (['p50Ms', 'p99Ms', 'p999Ms'] as const).map(
      key => figure(matrix.cells[id]?.[contender.id], key)?.median,
    )
    return values.every(value => value !== undefined && value > 0) ? [{ contender, values: values as number[] }] : [] // as was just looked at
  })
  if (rows.length === 0) return null
  const x = logarithmic(
    rows.flatMap(({ values }) => values),
    { from: LEFT, to: WIDTH - RIGHT },
  )
  const shapes = [
    ...heading(
      title,
      about,
      'ms, logarithmic; medians of the rounds: large dot p50, small dots p99 and p99.9; left is better',
    ),
    ...columns(x, rows.length, ' ms'),
  ]
  for (const [index, { contender, values }] of rows.entries()) {
    const hue = hueOf(matrix, contender)
    const y = TOP + index * ROW + ROW / 2
    shapes.push({
      kind: 'line',
      from: { x: x.at(values[0]!), y },
      to: { x: x.at(values[2]!), y },
      style: `range stroke${hue}`,
    })
    for (const [place, value] of values.entries())
      shapes.push({ kind: 'dot', at: { x: x.at(value), y }, radius: place === 0 ? 6 : 3.5, style: `fill${hue}` })
    shapes.push(name(contender, y))
  }
  return {
    file: `latency-${id}.svg`,
    title,
    text: svg({ ...sizeOf(rows), title, about: described(rows, ' ms') }, shapes),
  }
}

/** Of the servers and of the client, one behind the other. */
function cpu(matrix: Matrix, work: Work): Plot | null {
  const rows = matrix.contenders.flatMap((contender): Row[] => {
    const cell = matrix.cells[work.id]?.[contender.id]
    const [servers, client] = [figure(cell, 'serverCpuUs'), figure(cell, 'clientCpuUs')]
    return servers && client ? [{ contender, values: [servers.median, client.median] }] : []
  })
  const title = `CPU of a cycle: ${work.name}`
  const below = 'µs; medians of the rounds; dark: all servers, light: the client; less is better'
  return bars(matrix, { file: 'cpu.svg', title, below, unit: ' µs', rows })
}

function grants(matrix: Matrix, work: Work): Plot | null {
  const rows = matrix.contenders.flatMap((contender): Row[] => {
    const own = figure(matrix.cells[work.id]?.[contender.id], 'perSecond')
    return own ? [{ contender, values: [own.median] }] : []
  })
  const title = `${work.name}: cycles a second`
  const below = 'acquire and release; medians of the rounds; more is better'
  return bars(matrix, { file: `throughput-${work.id}.svg`, title, below, unit: '', rows })
}

type Bars = { file: string; title: string; below: string; unit: string; rows: Row[] }

/** The values of a row behind each other; the second is fainter. */
function bars(matrix: Matrix, { file, title, below, unit, rows }: Bars): Plot | null {
  if (rows.length === 0) return null
  const sumOf = ({ values }: Row) => values.reduce((sum, value) => sum + value, 0)
  const x = linear(rows.map(sumOf), { from: LEFT, to: WIDTH - RIGHT - 40 })
  const shapes = [...heading(title, below), ...columns(x, rows.length, unit)]
  for (const [index, row] of rows.entries()) {
    const hue = hueOf(matrix, row.contender)
    const top = TOP + index * ROW + 6
    let from = 0
    for (const [place, value] of row.values.entries()) {
      const at = { x: x.at(from), y: top }
      const style = `fill${hue}${place > 0 ? ' faint' : ''}`
      shapes.push({ kind: 'bar', at, width: x.at(from + value) - at.x, height: ROW - 12, style })
      from += value
    }
    shapes.push({ kind: 'text', at: { x: x.at(from) + 6, y: top + 13 }, text: number(from), style: 'small' })
    shapes.push(name(row.contender, top + ROW / 2 - 6))
  }
  return { file, title, text: svg({ ...sizeOf(rows), title, about: described(rows, unit) }, shapes) }
}

const sizeOf = (rows: readonly Row[]) => ({ width: WIDTH, height: TOP + rows.length * ROW + FOOT })

function described(rows: readonly Row[], unit: string): string {
  return rows.map(({ contender, values }) => `${contender.label}: ${values.map(number).join(', ')}${unit}`).join('; ')
}

function name(contender: Contender, y: number): Shape {
  return {
    kind: 'text',
    at: { x: LEFT - 10, y: y + 4 },
    text: contender.label,
    style: nameStyle(contender),
    anchor: 'end',
  }
}

/** The lines of a scale that runs to the right, and its figures. */
function columns(x: Scale, rows: number, unit: string): Shape[] {
  const bottom = TOP + rows * ROW
  return x.ticks.flatMap((tick): Shape[] => [
    { kind: 'line', from: { x: x.at(tick), y: TOP }, to: { x: x.at(tick), y: bottom }, style: 'grid' },
    {
      kind: 'text',
      at: { x: x.at(tick), y: bottom + 18 },
      text: `${number(tick)}${unit}`,
      style: 'small',
      anchor: 'middle',
    },
  ])
}
