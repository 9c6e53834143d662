/** What the benchmark is at, on standard error: one line that is written over where a person watches, lines where a program reads, nothing under tests. */

const WIDTH = 110

export function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${text.slice(0, WIDTH).padEnd(WIDTH)}`)
  else if (!process.env.NODE_TEST_CONTEXT) process.stderr.write(`… ${text}\n`)
}

/** The line is for other things again. */
export function progressOver(): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${' '.repeat(WIDTH)}\r`)
}
