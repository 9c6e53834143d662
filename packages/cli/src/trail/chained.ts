/**
 * An export that shows whether it was touched: each line ends with a hash of its own text and the line before's, and the last line says how many there
 * were. What was edited, taken out, put in or moved breaks the chain at its line; what was cut off at the end has no last line. Who rewrites all
 * of it has another head: so the head is printed, to be kept elsewhere.
 */
import { createHash } from 'node:crypto'

export type FileProblem = { line: number; message: string }
export type FileCheck = { records: number; head: string; problems: FileProblem[] }

const SUFFIX = /,"chain":"([0-9a-f]{64})"\}$/

export class Chained {
  #head = ''
  #records = 0

  /** The first line: what was asked for, so that nobody takes a part for the whole. */
  begin(about: object): string {
    return this.#line(JSON.stringify({ export: { version: 1, ...about } }))
  }

  record(record: object): string {
    this.#records++
    return this.#line(JSON.stringify(record))
  }

  end(): string {
    return this.#line(JSON.stringify({ end: { records: this.#records } }))
  }

  get head(): string {
    return this.#head
  }

  #line(text: string): string {
    this.#head = next(this.#head, text)
    return `${text.slice(0, -1)},"chain":"${this.#head}"}`
  }
}

/** `head`: as it was printed when the file was written. */
export async function checkLines(lines: AsyncIterable<string> | Iterable<string>, head?: string): Promise<FileCheck> {
  const check: FileCheck = { records: 0, head: '', problems: [] }
  let [line, hasEnded] = [0, false]
  for await (const text of lines) {
    line++
    if (text === '' && hasEnded) continue
    const [suffix = '', said] = SUFFIX.exec(text) ?? []
    const own = said === undefined ? '' : next(check.head, `${text.slice(0, -suffix.length)}}`)
    if (said === undefined) check.problems.push({ line, message: 'is no line of an export' })
    else if (own !== said)
      check.problems.push({
        line,
        message:
          'does not follow from the line before as it is now: one of the two was changed, or something between them is gone',
      })
    // The chain goes on from what the line says, so that each break is told once.
    check.head = said ?? check.head
    if (hasEnded) check.problems.push({ line, message: 'comes after the end' })
    if (isEnd(text, check.records)) hasEnded = true
    else if (line === 1 ? !text.startsWith('{"export":') : false)
      check.problems.push({ line, message: 'is not the first line of an export' })
    else if (line > 1) check.records++
  }
  if (!hasEnded) check.problems.push({ line, message: 'is the last line: the end has been cut off' })
  if (head !== undefined && head !== check.head)
    check.problems.push({
      line,
      message: `ends with the head ${check.head}, not with the one that was kept: it is not the file that was written`,
    })
  return check
}

function isEnd(text: string, records: number): boolean {
  return text.startsWith(`{"end":{"records":${records}}`)
}

function next(before: string, text: string): string {
  return createHash('sha256').update(before).update('\n').update(text).digest('hex')
}
