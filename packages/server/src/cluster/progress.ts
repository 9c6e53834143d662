/** How long work is told about, and waited for. */
import { type Clock, pause } from '../clock.ts'
import { ClusterFailure, ClusterStopped, ClusterUnreachable } from './failure.ts'

export type Progress = {
  /** Something has been done. */
  say(text: string): void
  /** Where the work stands; the next one takes its place. */
  update(text: string): void
}

export type Work = { clock: Clock; signal: AbortSignal; progress: Progress }

const LOOK_MS = 100

/**
 * Asks until the answer is not null. A look that throws is the same as one that finds nothing yet: what is waited for is often a process that
 * has only just been started. @throws ClusterFailure after `timeoutMs`, ClusterStopped
 */
export async function waitFor<Found>(
  { clock, signal, progress }: Work,
  { what, timeoutMs }: { what: string; timeoutMs: number },
  look: () => Promise<Found | null>,
): Promise<Found> {
  const beganMs = clock.hrtimeMs()
  let failure: unknown = null
  for (;;) {
    stopIfAsked(signal)
    try {
      const found = await look()
      if (found !== null) return found
      failure = null
    } catch (error) {
      if (error instanceof ClusterFailure && !(error instanceof ClusterUnreachable)) throw error
      failure = error
    }
    const waitedMs = clock.hrtimeMs() - beganMs
    if (waitedMs > timeoutMs) {
      const why = failure instanceof Error ? ` (${failure.message})` : ''
      throw new ClusterFailure(`Waited ${Math.round(timeoutMs / 1_000)} s in vain: ${what}${why}.`)
    }
    progress.update(`${what} … ${Math.floor(waitedMs / 1_000)} s`)
    await pause(clock, LOOK_MS, signal)
  }
}

/** @throws ClusterStopped */
export function stopIfAsked(signal: AbortSignal): void {
  if (signal.aborted) throw new ClusterStopped('Stopped as asked.')
}
