/**
 * Lines to standard error beside a command that runs under a lock. Whoever reads them may stand still while it stays (a terminal after Ctrl-S, a
 * collector that hangs), and a write would then wait for it; but whoever keeps a lock must not wait, or it neither renews nor stops its command in time. So
 * a thread of the pool writes, one line after the other, and nobody waits for it but the end, and that for a moment.
 */
import { write } from 'node:fs'
import { after } from './clock.ts'

/** Lines that are kept for a reader that stands still; there are a few in the life of a lock. */
export const ASIDE_LINES_MAX = 1_000
/** How long the end waits for the reader. */
const FLUSH_MS_MAX = 1_000
/** Of a pipe that whoever shares it has made non-blocking, and that is full. */
const AGAIN_MS = 50
const STANDARD_ERROR = 2

type Write = (
  fd: number,
  bytes: Uint8Array,
  done: (error: NodeJS.ErrnoException | null, written: number) => void,
) => void

export class Aside {
  readonly #write: Write
  #lines: Uint8Array[] = []
  #isWriting = false
  #whenFlushed: (() => void)[] = []

  constructor(writeBytes: Write = write) {
    this.#write = writeBytes
  }

  /** Never waits, and never throws: a reader that has gone hears nothing. */
  say(line: string): void {
    if (this.#lines.length >= ASIDE_LINES_MAX) return
    this.#lines.push(Buffer.from(`${line}\n`))
    this.#next()
  }

  /** Resolves when all has been written, or nobody takes it. */
  async flushed(): Promise<void> {
    if (this.#lines.length === 0) return
    await new Promise<void>(resolve => {
      const cancel = after(FLUSH_MS_MAX, resolve)
      this.#whenFlushed.push(() => {
        cancel()
        resolve()
      })
    })
  }

  #next(): void {
    const [line] = this.#lines
    if (!line) for (const resolve of this.#whenFlushed.splice(0)) resolve()
    if (!line || this.#isWriting) return
    this.#isWriting = true
    this.#write(STANDARD_ERROR, line, (error, written) => {
      this.#isWriting = false
      if (error?.code === 'EAGAIN') return void after(AGAIN_MS, () => this.#next())
      if (error) this.#lines = []
      else if (written < line.length) this.#lines[0] = line.subarray(written)
      else this.#lines.shift()
      this.#next()
    })
  }
}
