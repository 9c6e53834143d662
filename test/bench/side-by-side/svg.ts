/**
 * Plots as SVG, written by hand: a few shapes, and one style that follows the reader's colour scheme. What is drawn stays readable in black and
 * white too: lines are named at their end, and ours are thick.
 */

export type Shape =
  | { kind: 'line'; from: Point; to: Point; style: string }
  | { kind: 'path'; points: Point[]; style: string }
  | { kind: 'dot'; at: Point; radius: number; style: string }
  | { kind: 'bar'; at: Point; width: number; height: number; style: string }
  | { kind: 'text'; at: Point; text: string; style: string; anchor?: 'start' | 'middle' | 'end' }

export type Point = { x: number; y: number }

/** Okabe and Ito's colours, which colour-blind people can tell apart; the black one is the text's. */
const LIGHT = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#8a6d00', '#2f7fae', '#6b4fa0', '#777777', '#a33b20']
const DARK = ['#56b4e9', '#ff9d5c', '#2fd0a0', '#e8a6cb', '#f0e442', '#8ecdf0', '#b9a3ec', '#b5b5b5', '#f08a70']

export const HUES = LIGHT.length

/** Widths are those of a sans serif of 12 px, about. */
const styles = `
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.small { font-size: 11px; fill: #57606a }
.ours { font-weight: 600 }
.paper { fill: #ffffff }
.axis { stroke: #57606a; stroke-width: 1 }
.grid { stroke: #d0d7de; stroke-width: 0.6 }
.range { stroke-width: 2 }
.path { fill: none; stroke-width: 1.6; stroke-linejoin: round }
.thick { stroke-width: 3.2 }
.faint { opacity: 0.5 }
${hues(LIGHT)}
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.small { fill: #9da7b1 }
.paper { fill: #0d1117 }
.axis { stroke: #9da7b1 }
.grid { stroke: #30363d }
${hues(DARK)}
}
`

function hues(colours: readonly string[]): string {
  return colours
    .map((colour, index) => `.stroke${index} { stroke: ${colour} }\n.fill${index} { fill: ${colour} }`)
    .join('\n')
}

/** @param about - what one would say of it to somebody who cannot see it */
export function svg(
  { width, height, title, about }: { width: number; height: number; title: string; about: string },
  shapes: readonly Shape[],
): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<desc>${escaped(about)}</desc>`,
    `<style>${styles}</style>`,
    `<rect class="paper" width="${width}" height="${height}"/>`,
    ...shapes.map(drawn),
    '</svg>\n',
  ].join('\n')
}

function drawn(shape: Shape): string {
  switch (shape.kind) {
    case 'line':
      return `<line class="${shape.style}" x1="${px(shape.from.x)}" y1="${px(shape.from.y)}" x2="${px(shape.to.x)}" y2="${px(shape.to.y)}"/>`
    case 'path':
      return `<polyline class="${shape.style}" points="${shape.points.map(({ x, y }) => `${px(x)},${px(y)}`).join(' ')}"/>`
    case 'dot':
      return `<circle class="${shape.style}" cx="${px(shape.at.x)}" cy="${px(shape.at.y)}" r="${shape.radius}"/>`
    case 'bar':
      return `<rect class="${shape.style}" x="${px(shape.at.x)}" y="${px(shape.at.y)}" width="${px(shape.width)}" height="${px(shape.height)}"/>`
    case 'text':
      return `<text class="${shape.style}" x="${px(shape.at.x)}" y="${px(shape.at.y)}" text-anchor="${shape.anchor ?? 'start'}">${escaped(shape.text)}</text>`
  }
}

const px = (value: number) => Number(value.toFixed(1))

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

export type Scale = { at(value: number): number; ticks: number[] }

/** Ticks of an axis that has more than this stand at powers of ten alone. */
const TICKS_MAX = 8

/** From a round number (1, 2 or 5 times a power of ten) below the least to one above the greatest; values must be above zero. */
export function logarithmic(values: readonly number[], { from, to }: { from: number; to: number }): Scale {
  const [least, greatest] = [Math.min(...values), Math.max(...values)]
  const rounds: number[] = []
  for (let power = Math.floor(Math.log10(least)); power <= Math.ceil(Math.log10(greatest)); power++)
    for (const digit of [1, 2, 5]) rounds.push(Number((digit * 10 ** power).toPrecision(6)))
  const low = rounds.filter(tick => tick <= least).at(-1) ?? least
  const high = rounds.find(tick => tick >= greatest && tick > low) ?? greatest
  const between = rounds.filter(tick => tick >= low && tick <= high)
  const ticks = between.length > TICKS_MAX ? between.filter(tick => Number.isInteger(Math.log10(tick))) : between
  return { at: value => from + (Math.log(value / low) / Math.log(high / low)) * (to - from), ticks }
}

/** From zero to a round number above the greatest. */
export function linear(values: readonly number[], { from, to }: { from: number; to: number }): Scale {
  const greatest = Math.max(...values, Number.MIN_VALUE)
  const unit = 10 ** Math.floor(Math.log10(greatest))
  const step = [0.2, 0.5, 1, 2].map(part => part * unit).find(size => greatest / size <= 6) ?? unit
  const count = Math.ceil(greatest / step)
  const ticks = Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(6)))
  return { at: value => from + (value / (count * step)) * (to - from), ticks }
}
