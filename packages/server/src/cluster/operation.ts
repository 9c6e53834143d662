/** One operation at a time on a cluster's directory: two that both wait for a healthy cluster would each take the member away that the other counts on. */
import { linkSync } from 'node:fs'
import { type ProcessFacts, systemProcesses } from '../shards/processes.ts'
import type { ClusterDirectory } from './directory.ts'
import { ClusterBusy } from './failure.ts'
import { parseJson, readText, remove, writeWhole } from './files.ts'

type Mark = { what: string; process: ProcessFacts }

/** @throws ClusterBusy when another one is under way. */
export async function exclusively<Result>(
  directory: ClusterDirectory,
  what: string,
  act: () => Promise<Result>,
): Promise<Result> {
  const release = begin(directory, what)
  try {
    return await act()
  } finally {
    release()
  }
}

function begin(directory: ClusterDirectory, what: string): () => void {
  const path = directory.operationFile
  const own = `${path}.${process.pid}`
  const mark: Mark = { what, process: systemProcesses.own() }
  writeWhole(own, JSON.stringify(mark))
  try {
    for (;;) {
      try {
        // A name that exists is never taken over, whoever tries at the same time; and what it names is complete.
        linkSync(own, path)
        return () => remove(path)
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
      }
      const text = readText(path)
      if (text === null) continue
      // Written above.
      const other = parseJson(text, path) as Mark
      if (isAlive(other.process)) {
        throw new ClusterBusy(`\`${other.what}\` is under way (process ${other.process.pid}): wait until it is done.`)
      }
      remove(path)
    }
  } finally {
    remove(own)
  }
}

export function runsOperation(directory: ClusterDirectory): boolean {
  const text = readText(directory.operationFile)
  // Written above.
  return text !== null && isAlive((parseJson(text, directory.operationFile) as Mark).process)
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
