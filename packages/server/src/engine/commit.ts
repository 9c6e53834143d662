/**
 * Commits with a known outcome. An engine that throws has neither said yes nor no: the commit may have been applied, may be applied
 * later, or never. So the very same bytes are committed again until the answer is definite (SAFETY P3): either they pass now,
 * or they fail and what the checks found shows whether they had passed before.
 */
import { type Clock, pause } from '../clock.ts'
import { type Check, type Engine, EngineFatal, EngineRefusal, type KeyValue, type Write } from './engine.ts'

export type Known = { ok: true; revision: number } | { ok: false; found: (KeyValue | null)[] }

export type Attempt = {
  engine: Engine
  clock: Clock
  checks: Check[]
  writes: Write[]
  /** From what the checks found: the revision at which these very writes had passed, or null. */
  passedAt(found: (KeyValue | null)[]): number | null
  onUnknown(error: unknown, attempt: number): void
}

/** Between attempts: soon, for a leader election takes a second at the most, and then less and less often. */
const RETRY_MS_MIN = 10
const RETRY_MS_MAX = 500

/** Throws `EngineFatal`, or `EngineRefusal` when surely nothing was or will be written; otherwise asks until it knows. */
export async function commitKnown({ engine, clock, checks, writes, passedAt, onUnknown }: Attempt): Promise<Known> {
  for (let attempt = 1; ; attempt++) {
    try {
      const result = await engine.commit({ checks, writes })
      if (result.ok) return { ok: true, revision: result.revision }
      const revision = passedAt(result.found)
      return revision === null ? { ok: false, found: result.found } : { ok: true, revision: revision }
    } catch (error) {
      if (error instanceof EngineFatal) throw error
      // A refusal after an attempt of unknown outcome says nothing about that one, which may still come to pass.
      if (error instanceof EngineRefusal && attempt === 1) throw error
      onUnknown(error, attempt)
    }
    await pause(clock, Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** (attempt - 1)))
  }
}

/** For `passedAt`: the write at `index` of the checks has these bytes. */
export function sameBytes(index: number, bytes: Uint8Array) {
  return (found: (KeyValue | null)[]): number | null => {
    const pair = found[index]
    return pair && Buffer.compare(pair.value, bytes) === 0 ? pair.modRevision : null
  }
}

/** Records other than batches are small JSON objects, each written by this code under a check. */
export function encodeRecord(record: object): Buffer {
  return Buffer.from(JSON.stringify(record))
}

export function decodeRecord(bytes: Uint8Array): Record<string, unknown> {
  const record: unknown = JSON.parse(Buffer.from(bytes).toString())
  if (typeof record !== 'object' || record === null) throw new Error('this is no record of ours')
  return record as Record<string, unknown> // an object, as was just seen
}
