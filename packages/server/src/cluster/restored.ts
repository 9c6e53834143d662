/**
 * How often a backup has been restored, and up to which epoch: beside it, in FILE.restored. What is in a backup is the same each time, so without this two
 * clusters that were restored from it would give out the same tokens (SAFETY O4).
 */
import { ClusterFailure, messageOf } from './failure.ts'
import { makeAlone, parseJson, readText, remove, writeWhole } from './files.ts'

export type RestoredBefore = {
  times: number
  /** The highest that one of those clusters began with. */
  epoch: number
}

export const restoredFile = (backup: string): string => `${backup}.restored`

/** @throws ClusterFailure when that cannot be told: what may not be read is not taken for missing. */
export function restoredBefore(backup: string): RestoredBefore {
  const path = restoredFile(backup)
  const text = readText(path)
  if (text === null) return { times: 0, epoch: 0 }
  const { times, epoch } = parseJson(text, path)
  const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value)
  if (!isCount(times) || !isCount(epoch)) throw new ClusterFailure(`${path} is damaged.`)
  return { times, epoch }
}

/** Once more, up to this epoch. @throws ClusterFailure when it cannot be written, or when somebody else has restored the backup since `before` was read. */
export function noteRestored(backup: string, { before, epoch }: { before: RestoredBefore; epoch: number }): void {
  const path = restoredFile(backup)
  const lock = `${path}.lock`
  if (!makeAlone(lock)) {
    throw new ClusterFailure(
      `Another restore of this backup is writing ${path}: do this again. If none is, ${lock} was left by one that was killed: remove it.`,
    )
  }
  try {
    if (restoredBefore(backup).times !== before.times) {
      throw new ClusterFailure('Somebody else has restored this backup at the same time: do this again.')
    }
    writeWhole(path, `${JSON.stringify({ times: before.times + 1, epoch: Math.max(before.epoch, epoch) })}\n`)
  } finally {
    remove(lock)
  }
}

/** Why it is not done, and what to do then. */
export function cannotNote(error: unknown): ClusterFailure {
  return new ClusterFailure(
    `${messageOf(error)} Without that file the next restore of the same backup would give out the same tokens as this one: copy the backup, and that file if there is one, to a folder that can be written, or say the highest token that was ever seen, also by clusters that were restored from it (--above-token).`,
    { cause: error },
  )
}
