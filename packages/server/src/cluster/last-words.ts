/** What an etcd member has written into its log on its way down, for whoever asks why. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { objectIn } from './files.ts'

export type LastWords = {
  /** Empty: it has said nothing that would explain it. */
  text: string
  /** The others have taken it off their list: it never comes back, whatever is done here. */
  isRemoved: boolean
}

/** A stack is long, and the last words are at the end. */
const READ_BYTES_MAX = 64 * 1024
const graveLevels: unknown[] = ['error', 'fatal', 'panic']
/** It ends by itself then, with 0, and says so as a warning. */
const REMOVED = /\bpermanently removed from the cluster\b/

/** How much there is of it now: what is written from now on begins there. */
export function sizeOfLog(path: string): number {
  return withFile(path, file => fstatSync(file).size) ?? 0
}

export function lastWordsIn(path: string, from: number): LastWords {
  const lines = textFrom(path, from).split('\n').map(objectIn)
  const grave = lines.findLast(line => line !== null && graveLevels.includes(line.level))
  const removed = lines.some(line => REMOVED.test(String(line?.error ?? '')))
  const parts = [grave?.msg, grave?.error].filter(part => typeof part === 'string' && part !== '')
  return { text: parts.join(': '), isRemoved: removed }
}

/** Where it has been rotated since, the file is a new one. */
function textFrom(path: string, from: number): string {
  const bytes = withFile(path, file => {
    const { size } = fstatSync(file)
    const begin = Math.max(size < from ? 0 : from, size - READ_BYTES_MAX)
    const room = Buffer.alloc(size - begin)
    return room.subarray(0, readSync(file, room, 0, room.length, begin))
  })
  return bytes?.toString() ?? ''
}

/** null: it cannot be read, which is no reason not to tell the rest. */
function withFile<Found>(path: string, look: (file: number) => Found): Found | null {
  try {
    const file = openSync(path, 'r')
    try {
      return look(file)
    } finally {
      closeSync(file)
    }
  } catch {
    return null
  }
}
