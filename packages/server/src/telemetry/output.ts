/**
 * Where the lines of the log go: standard output, whoever reads that.
 *
 * A reader may go away (`| head`), or stand still while it stays (a collector that hangs, a terminal after Ctrl-S). The obvious ways both
 * make the server depend on it: a write that waits stops everything, and a buffer that must be empty before the process may end keeps
 * it alive for ever. So nothing here waits for the reader but the end of the process, and that for a moment; what it has not taken is kept up
 * to a limit, beyond it left out, and when it reads again one line tells how many there were.
 */
import { fstatSync, writeSync } from 'node:fs'
import type { Clock } from '../clock.ts'

/** What a reader that stands still may cost in memory: some thousand lines, more than a collector's restart takes. */
const KEPT_BYTES_MAX = 1_048_576
/** How long the end of the process waits for the reader: one that reads has read long before. */
const FLUSH_MS_MAX = 1_000
/** As pino writes `warn`. */
const WARN = 40

/** `process.stdout`, or in tests what behaves like it. */
export type Output = Pick<NodeJS.WriteStream, 'write' | 'writableLength' | 'once' | 'on'> & { fd?: number }

export class LogOutput {
  readonly #stream: Output
  readonly #clock: Pick<Clock, 'after' | 'wallMs'>
  /** A file takes all or fails, and one that was full may have room again: it has no use for the stream, which ends at its first error. */
  readonly #file: number | null
  #isGone = false
  #missing = 0

  constructor(stream: Output, clock: Pick<Clock, 'after' | 'wallMs'>) {
    this.#stream = stream
    this.#clock = clock
    this.#file = fileOf(stream)
    letWait(stream)
    // It ends with its reader; the service does not.
    stream.on('error', () => {
      this.#isGone = true
    })
  }

  /** Never waits. Throws only what a file answers. */
  write(text: string): void {
    if (this.#file !== null) writeSync(this.#file, text)
    else if (this.#isGone) return
    else if (this.#stream.writableLength > KEPT_BYTES_MAX) this.#leaveOut()
    else this.#stream.write(text)
  }

  /** Resolves when all is written, when nobody reads any more, or after a second. */
  async flushed(): Promise<void> {
    if (this.#file !== null || this.#isGone || this.#stream.writableLength === 0) return
    await new Promise<void>(resolve => {
      const cancel = this.#clock.after(FLUSH_MS_MAX, resolve)
      // With an error too: there is nobody left to wait for.
      this.#stream.write('', () => {
        cancel()
        resolve()
      })
    })
  }

  #leaveOut(): void {
    this.#missing++
    if (this.#missing > 1) return
    this.#stream.once('drain', () => {
      const missing = this.#missing
      this.#missing = 0
      const msg = 'lines are missing here: the reader of this log did not take them'
      this.write(`${JSON.stringify({ level: WARN, time: this.#clock.wallMs(), missing, msg })}\n`)
    })
  }
}

function fileOf({ fd }: Output): number | null {
  try {
    return fd !== undefined && fstatSync(fd).isFile() ? fd : null
  } catch {
    // Closed from the start: the stream knows what to make of it.
    return null
  }
}

/** Node makes writes to a terminal wait, so that two programs' lines do not mix; after Ctrl-S they would wait for a person. */
function letWait(stream: Output): void {
  // Node has no public name for it; where it goes by another one, a terminal can still stop its server.
  const { isTTY, _handle } = stream as { isTTY?: boolean; _handle?: { setBlocking?(isBlocking: boolean): void } }
  if (isTTY) _handle?.setBlocking?.(false)
}
