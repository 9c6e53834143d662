/** Keys that live in the data directory: made once, readable by nobody else. */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Random } from '../random.ts'

/** 256 bits: twice what is asked for. */
const KEY_BYTES = 32
/** A preset key that is shorter can be guessed. */
export const KEY_CHARS_MIN = 16

/** The key in `path`; makes it if there is none. A trailing line break is not part of the key. */
export function readOrCreateKey(path: string, random: Random): string {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const known = readKey(path)
  if (known !== null) return known
  const key = Buffer.from(random.bytes(KEY_BYTES)).toString('base64url')
  try {
    // `wx`: two processes that start at once do not both believe that theirs is the key.
    const file = openSync(path, 'wx', 0o600)
    writeSync(file, `${key}\n`)
    fsyncSync(file)
    closeSync(file)
    return key
  } catch (error) {
    const other = isCode(error, 'EEXIST') ? readKey(path) : null
    if (other === null) throw error
    return other
  }
}

/** Puts the key where people look for it. What is there already is replaced, at once and whole: also where the power is cut. */
export function writeKey(path: string, key: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const draft = `${path}.new`
  writeFileSync(draft, `${key}\n`, { mode: 0o600, flush: true })
  renameSync(draft, path)
}

function readKey(path: string): string | null {
  try {
    const key = readFileSync(path, 'utf8').trim()
    if (key.length < KEY_CHARS_MIN)
      throw new Error(
        `The key in ${path} has fewer than ${KEY_CHARS_MIN} characters; delete the file to have a new one made.`,
      )
    return key
  } catch (error) {
    if (isCode(error, 'ENOENT')) return null
    throw error
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
