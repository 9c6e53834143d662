/** Files that hold secrets or decide what runs: only for their owner, and whole or not there. */
import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { ClusterFailure, messageOf } from './failure.ts'

const DIRECTORY_MODE = 0o700
const FILE_MODE = 0o600

/** One of the cluster's own: nobody else may look into it, also when it was there before. @throws ClusterFailure */
export function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE })
    // One that was there before may be open to others.
    chmodSync(path, DIRECTORY_MODE)
  } catch (error) {
    throw explained(error, { doing: 'made', path })
  }
}

/** Somebody else's folder, in which ours will lie: what is missing is made for its owner alone, and what is there stays as open as it is. */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE })
  } catch (error) {
    throw explained(error, { doing: 'made', path })
  }
}

/** Whether it was made: of two that want it at once, one gets it. @throws ClusterFailure */
export function makeAlone(path: string): boolean {
  try {
    mkdirSync(path, { mode: DIRECTORY_MODE })
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw explained(error, { doing: 'made', path })
  }
}

/**
 * Puts a folder where there is none, or an empty one. The system itself refuses the rest, so nothing of anybody's is lost, whenever it came there.
 * @throws ClusterFailure
 */
export function moveFolder(from: string, to: string): void {
  try {
    if (isThere(to)) rmdirSync(to)
    renameSync(from, to)
  } catch (error) {
    throw explained(error, { doing: 'made', path: to })
  }
  syncDirectory(dirname(to))
}

/** In one step, and on the disk when it returns: a reader finds the old text or the new one. @throws ClusterFailure */
export function writeWhole(path: string, content: string | Uint8Array): void {
  const partial = `${path}.${process.pid}.partial`
  try {
    writeNew(partial, Buffer.from(content))
    renameSync(partial, path)
  } catch (error) {
    throw explained(error, { doing: 'written', path })
  }
  syncDirectory(dirname(path))
}

function writeNew(path: string, bytes: Buffer): void {
  const file = openSync(path, 'w', FILE_MODE)
  try {
    for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written)
    fsyncSync(file)
  } catch (error) {
    // Half of it is of no use to anybody, least of all on a disk that is full.
    remove(path)
    throw error
  } finally {
    closeSync(file)
  }
}

/** What was renamed or removed in it stays so through a power cut. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}

/** null: there is none. @throws ClusterFailure when that cannot be told: what may not be looked at is not taken for missing. */
export function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw explained(error, { doing: 'read', path })
  }
}

/** @throws ClusterFailure when that cannot be told. */
export function isThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined
  } catch (error) {
    throw explained(error, { doing: 'read', path })
  }
}

export function remove(path: string): void {
  rmSync(path, { recursive: true, force: true })
}

/** @throws ClusterFailure with the path in its message. */
export function parseJson(text: string, path: string): Record<string, unknown> {
  const value = objectIn(text)
  if (value === null) throw new ClusterFailure(`${path} is damaged: it should hold a JSON object.`)
  return value
}

/** null: it is something else. */
export function objectIn(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Record<string, unknown>) : null // an object, as was just seen
  } catch {
    // No JSON at all.
    return null
  }
}

type Refused = { doing: 'made' | 'written' | 'read'; path: string; elsewhere?: string }

/** What the system refuses, as a sentence that says what is needed. What is no refusal of the system stays as it is. */
export function explained(error: unknown, refused: Refused): unknown {
  const code = codeOf(error)
  if (code === null) return error
  const sentence = sentenceOf(code, refused) ?? `${refused.path} cannot be ${refused.doing}: ${messageOf(error)}.`
  return new ClusterFailure(sentence, { cause: error })
}

function sentenceOf(code: string, { doing, path, elsewhere = 'choose another place' }: Refused): string | null {
  const cannot = `${path} cannot be ${doing}`
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return `${cannot}: its disk has no room left. Free some, or ${elsewhere}.`
    case 'ENOENT':
      return `${cannot}: there is no folder ${dirname(path)}. Make it, or ${elsewhere}.`
    case 'EEXIST':
    case 'ENOTDIR':
      return `${cannot}: there is a file on the way where a folder is needed; ${elsewhere}.`
    case 'ENOTEMPTY':
      return `${cannot}: there are files in it already; ${elsewhere}.`
    case 'EISDIR':
      return `${cannot}: it is a folder, and a file is needed.`
    case 'EACCES':
    case 'EPERM':
      return `${cannot} by this user (${ownUser()}): ${ownerOf(path)}. Do this as the one whom it belongs to.`
    case 'EROFS':
      return `${cannot}: nothing may be written on its disk (read-only); ${elsewhere}.`
    default:
      return null
  }
}

/** Of the file, or of the folder on the way to it that may still be looked at. */
function ownerOf(path: string): string {
  try {
    const found = statSync(path, { throwIfNoEntry: false })
    if (found) return `${path} belongs to ${userNamed(found.uid)}`
  } catch {
    // Not even that may be seen: its folder tells.
  }
  return dirname(path) === path ? 'its owner cannot be seen' : ownerOf(dirname(path))
}

function ownUser(): string {
  return userNamed(process.geteuid?.() ?? 0)
}

/** Those that the machine itself knows have a name. */
function userNamed(uid: number): string {
  try {
    const line = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .find(entry => entry.split(':')[2] === String(uid))
    return line?.split(':')[0] || `user ${uid}`
  } catch {
    // Not on this system.
    return `user ${uid}`
  }
}

function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null
}
