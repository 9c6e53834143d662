/** Files that hold secrets or decide what runs: only for their owner, and whole or not there. */
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'

const DIRECTORY_MODE = 0o700
const FILE_MODE = 0o600

export function makeDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE })
  // One that was there before may be open to others.
  chmodSync(path, DIRECTORY_MODE)
}

/** In one step, and on the disk when it returns: a reader finds the old text or the new one. */
export function writeWhole(path: string, content: string | Uint8Array): void {
  const partial = `${path}.${process.pid}.partial`
  const file = openSync(partial, 'w', FILE_MODE)
  try {
    const bytes = Buffer.from(content)
    for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(partial, path)
  syncDirectory(dirname(path))
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

export function readText(path: string): string | null {
  return existsSync(path) ? readFileSync(path, 'utf8') : null
}

export function remove(path: string): void {
  rmSync(path, { recursive: true, force: true })
}

/** @throws SyntaxError with the path in its message. */
export function parseJson(text: string, path: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new SyntaxError(`${path} is damaged`)
  return value as Record<string, unknown> // an object, as was just seen
}
