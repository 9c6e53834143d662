/**
 * One operation at a time on a cluster's directory: two that both wait for a healthy cluster would each take the member away that the other counts on.
 * A lock of the kernel's says whose turn it is, for it goes with a process that is killed; what lies in the file is for people, and may be of one that is gone.
 */
import { chmodSync } from 'node:fs'
import { KernelLock } from '../process-lock/kernel-lock.ts'
import { type ProcessFacts, systemProcesses } from '../shards/processes.ts'
import type { ClusterDirectory } from './directory.ts'
import { ClusterBusy } from './failure.ts'
import { explained, objectIn, readText, remove, writeWhole } from './files.ts'

type Mark = { what: string; process: ProcessFacts }

const LOCK_MODE = 0o600

/** @throws ClusterBusy when another one is under way. */
export async function exclusively<Result>(
  directory: ClusterDirectory,
  what: string,
  act: () => Promise<Result>,
): Promise<Result> {
  const lock = take(directory)
  try {
    const mark: Mark = { what, process: systemProcesses.own() }
    writeWhole(directory.operationFile, JSON.stringify(mark))
    return await act()
  } finally {
    try {
      remove(directory.operationFile)
    } finally {
      lock.release()
    }
  }
}

function take(directory: ClusterDirectory): KernelLock {
  const path = directory.operationLockFile
  let lock: KernelLock | null
  try {
    lock = KernelLock.take(path)
    if (lock) chmodSync(path, LOCK_MODE)
  } catch (error) {
    throw explained(error, { doing: 'written', path })
  }
  if (lock) return lock
  const other = markIn(directory)
  const who = other ? `\`${other.what}\` is under way (process ${other.process.pid})` : 'Another operation is under way'
  throw new ClusterBusy(`${who}: wait until it is done.`)
}

/** null: there is none; one that is being written or was cut short is no reason to fail. */
function markIn(directory: ClusterDirectory): Mark | null {
  const text = readText(directory.operationFile)
  // Written above.
  return text === null ? null : (objectIn(text) as Mark | null)
}

export function runsOperation(directory: ClusterDirectory): boolean {
  const mark = markIn(directory)
  return mark !== null && isAlive(mark.process)
}

/** Where the system does not tell processes apart, whoever has the number is taken for the one that is meant. */
export function isAlive(facts: ProcessFacts): boolean {
  const state = systemProcesses.stateOf(facts)
  if (state !== 'unknown') return state === 'alive'
  try {
    process.kill(facts.pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
