/** When a backup was made last from this directory, and whether the next is in trouble: for whoever asks how the cluster is. */
import type { Backup } from './backup.ts'
import type { ClusterDirectory } from './directory.ts'
import { ClusterFailure } from './failure.ts'
import { parseJson, readText, writeWhole } from './files.ts'

export type BackupRecord = {
  last: (Backup & { at: number }) | null
  /** Of a scheduled one, since the last that succeeded. */
  failure: { at: number; why: string } | null
  /** null: none is made by itself. */
  everyMs: number | null
}

/** A backup that is twice as late as it should be is missing. */
const OVERDUE = 2

export function backupRecord(directory: ClusterDirectory): BackupRecord {
  const text = readText(directory.backupFile)
  const nothing: BackupRecord = { last: null, failure: null, everyMs: null }
  // Written below.
  return text === null ? nothing : { ...nothing, ...(parseJson(text, directory.backupFile) as Partial<BackupRecord>) }
}

export function noteBackup(directory: ClusterDirectory, noted: Partial<BackupRecord>): void {
  try {
    writeWhole(directory.backupFile, `${JSON.stringify({ ...backupRecord(directory), ...noted })}\n`)
  } catch (error) {
    // A full disk is why most backups fail, and no reason to end what runs the members: what is written there gets old, and that is seen.
    if (!(error instanceof ClusterFailure)) throw error
  }
}

/** How long until the next of its own is due: an `up` that is started often makes no more of them, and drops no older ones for them. */
export function backupDueMs(
  directory: ClusterDirectory,
  { everyMs, nowMs }: { everyMs: number; nowMs: number },
): number {
  try {
    const { last } = backupRecord(directory)
    // The clock may have been set back since.
    return last === null ? 0 : Math.min(everyMs, Math.max(0, last.at + everyMs - nowMs))
  } catch (error) {
    if (!(error instanceof ClusterFailure)) throw error
    // Of what cannot be read the next one tells anew.
    return 0
  }
}

/** null: it is as it should be. */
export function backupProblem(record: BackupRecord, nowMs: number): { what: string; change: string } | null {
  const { last, failure, everyMs } = record
  if (failure)
    return {
      what: `the backup of ${timeOf(failure.at)} failed: ${failure.why}`,
      change: 'It is tried again every minute. Make room, or name another folder by `up --backups`.',
    }
  if (everyMs === null || last === null || nowMs - last.at <= OVERDUE * everyMs) return null
  return {
    what: `the last backup is of ${timeOf(last.at)}, and one was to be made every ${Math.round(everyMs / 1_000)} s`,
    change: 'Does `holdfast cluster up --every …` run? `holdfast cluster backup` makes one now.',
  }
}

const timeOf = (atMs: number) => new Date(atMs).toISOString()
