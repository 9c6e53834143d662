/** What is printed: JSON for programs, aligned tables for people, colours only where a person looks. */
import { stripVTControlCharacters } from 'node:util'
import { toSnake } from '@holdfast/protocol/casing'

const styles = { bold: '1', dim: '2', red: '31', green: '32', yellow: '33', cyan: '36' } as const
export type Style = keyof typeof styles

/** Coloured only on a terminal that has not been told otherwise (no-color.org). */
export function paint(style: Style, text: string, stream: { isTTY?: boolean } = process.stdout): string {
  const wantsColour = stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb'
  return wantsColour ? `\u001b[${styles[style]}m${text}\u001b[0m` : text
}

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** To people, beside whatever goes to standard output. */
export function note(text: string): void {
  process.stderr.write(`${noteLine(text)}\n`)
}

export function noteLine(text: string): string {
  return `holdfast: ${text}`
}

/** The same for programs: one JSON document a line, in snake_case. */
export function noteJson(value: unknown): void {
  process.stderr.write(`${jsonLine(value)}\n`)
}

export function jsonLine(value: unknown): string {
  return JSON.stringify(toSnake(value))
}

/** One JSON document in snake_case, as the API writes it. */
export function printJson(value: unknown): void {
  printLine(JSON.stringify(toSnake(value), null, 2))
}

/** One JSON document a line, for what comes bit by bit. */
export function printJsonLine(value: unknown): void {
  printLine(JSON.stringify(toSnake(value)))
}

/** Columns as wide as their widest cell. `rows` may be painted. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) => Math.max(width(title), ...rows.map(row => width(row[column] ?? ''))))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - width(cell)))
      .join('  ')
      .trimEnd()
  return [paint('dim', line(header)), ...rows.map(line)].join('\n')
}

/** A name and a value a line. */
export function facts(pairs: readonly (readonly [string, string | undefined])[]): string {
  const shown = pairs.filter((pair): pair is readonly [string, string] => pair[1] !== undefined && pair[1] !== '')
  const widest = Math.max(...shown.map(([name]) => name.length))
  return shown.map(([name, value]) => `${paint('dim', name.padEnd(widest))}  ${value}`).join('\n')
}

function width(text: string): number {
  return [...stripVTControlCharacters(text)].length
}

/** What moves a terminal's cursor, and what turns the direction of writing, so that a text reads as another. */
const unsafe = /[\p{Cc}\p{Bidi_Control}]/gu

/** Names and labels come from others: what would move a terminal's cursor is shown, not obeyed. */
export function safe(text: string): string {
  return text.replace(unsafe, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** So much of what others wrote, made safe: who has written very much does not push the rest off the screen. */
export function short(text: string, charsMax: number): string {
  const characters = [...text]
  return safe(characters.length > charsMax ? `${characters.slice(0, charsMax - 1).join('')}…` : text)
}

/** The same of a text of several lines, which stay lines. */
export function safeLines(text: string): string {
  return text.split('\n').map(safe).join('\n')
}

export function labelsText(labels: Record<string, string> | undefined): string {
  return Object.entries(labels ?? {})
    .map(([key, value]) => safe(`${key}=${value}`))
    .join(' ')
}
