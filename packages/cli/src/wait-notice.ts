/**
 * What is seen of a wait. On a terminal one line says whom it waits for and at which place in line, and is kept up to date until the wait is
 * over, and then gone. Elsewhere (a pipe, a log of a build) one line says so when the wait begins. With `--json` that line is
 * an object. With `--quiet` nothing does.
 */
import type { Holdfast, LockView, QueueView } from '@holdfast/client'
import { every } from './clock.ts'
import { age, othersOf } from './describe.ts'
import { formatDuration } from './duration.ts'
import { tellOf } from './holding-events.ts'
import { safe } from './output.ts'

/** How often the line is brought up to date: people count seconds. */
const REFRESH_MS = 1_000
const ERASED = '\r\u001b[2K'

export interface WaitNotice {
  /** It stands in line: at first, or anew. */
  queued(place: { position: number }): void
  /** However the wait has ended. */
  end(): void
}

type Stream = { write(text: string): unknown; isTTY?: boolean; columns?: number }
/** Who holds and who waits, and which session is ours. */
type Look = () => Promise<{ queue: QueueView; session: string }>

export function noticeOf(holdfast: Holdfast, name: string, options: { quiet?: boolean; json?: boolean }): WaitNotice {
  const { quiet, json } = options
  if (quiet) return { queued: () => {}, end: () => {} }
  const tell = tellOf({ json: true }, line => process.stderr.write(`${line}\n`))
  if (json) return { queued: ({ position }) => tell({ event: 'waiting', lock: name, position }), end: () => {} }
  const look = async () => ({ queue: await holdfast.why(name), session: await holdfast.sessionId() })
  return new WaitLine({ name, look, stream: process.stderr })
}

export class WaitLine implements WaitNotice {
  readonly #name: string
  readonly #look: Look
  readonly #stream: Stream
  #position = 0
  #isBegun = false
  #isOver = false
  #stop = () => {}

  constructor(parts: { name: string; look: Look; stream: Stream }) {
    this.#name = parts.name
    this.#look = parts.look
    this.#stream = parts.stream
  }

  queued({ position }: { position: number }): void {
    this.#position = position
    if (this.#isBegun || this.#isOver) return
    this.#isBegun = true
    void this.#show()
    if (this.#stream.isTTY) this.#stop = every(REFRESH_MS, () => void this.#show())
  }

  end(): void {
    this.#isOver = true
    this.#stop()
    if (this.#isBegun && this.#stream.isTTY) this.#stream.write(ERASED)
  }

  /** Never rejects. */
  async #show(): Promise<void> {
    const text = await this.#text()
    if (this.#isOver) return
    const line = `holdfast: ${text}`
    if (!this.#stream.isTTY) this.#stream.write(`${line}\n`)
    // A line that wraps could not be erased.
    else this.#stream.write(`${ERASED}${line.slice(0, (this.#stream.columns ?? 80) - 1)}`)
  }

  async #text(): Promise<string> {
    const begin = `waiting for ${safe(this.#name)}`
    try {
      const { queue, session } = await this.#look()
      this.#position = queue.waiters.find(waiter => waiter.sessionId === session)?.position ?? this.#position
      const why = reasonText(queue.lock)
      const place = `place ${this.#position} of ${Math.max(this.#position, queue.lock.waiters)} in line`
      return `${begin}, ${place}${why === '' ? '' : `: ${why}`}`
    } catch {
      // It may not be ours to see, or the service is away for a moment: that we wait is true all the same.
      return `${begin}, place ${this.#position} in line`
    }
  }
}

/** Why it cannot be had now, in a few words. */
function reasonText(lock: LockView): string {
  const [first] = lock.holders
  if (first) {
    const others = othersOf(lock)
    const more = others === 0 ? '' : ` and ${others} more`
    return `held by ${safe(first.holder)}${more} for ${age(first.acquiredAt)}`
  }
  if (lock.frozen) return `frozen by ${safe(lock.frozen.by)}: ${safe(lock.frozen.reason)}`
  return lock.delayedMs === undefined ? '' : `kept free for ${formatDuration(lock.delayedMs)} after an unclean end`
}
