/** The records of the data keys. They are the only ones of a sealed store that are not sealed: what is secret in them is wrapped. */
import type { KeyValue } from '../engine.ts'
import { ID_BYTES } from './envelope.ts'
import { SealBroken } from './failures.ts'
import type { Wrapped } from './key-source.ts'

/** Of these records and of sealed values. */
export const SEAL_FORMAT = 1

/** Which data key seals what is written. Every commit that writes checks that it has not changed. */
export type CurrentRecord = { format: number; current: string }

export type KeyRecord = {
  format: number
  wrapped: Wrapped
  /** Wall time, ms since 1970: a label. */
  createdAt: number
  /** Values that the servers have put aside to seal under it, together: never fewer than they have sealed. */
  allotted: number
}

export type KeyPlaces = { prefix: string; current: string; key(id: string): string }

export function keyPlacesUnder(root: string): KeyPlaces {
  const prefix = `${root}/keys/`
  return { prefix, current: `${prefix}current`, key: id => `${prefix}${id}` }
}

export function encodeKeyRecord(record: CurrentRecord | KeyRecord): Buffer {
  return Buffer.from(JSON.stringify(record))
}

export function decodeCurrent(pair: KeyValue): CurrentRecord {
  const { format, current } = parsed(pair)
  if (typeof current !== 'string' || !isId(current)) throw damaged(pair)
  return { format, current }
}

export function decodeKey(pair: KeyValue): KeyRecord {
  const { format, wrapped, createdAt, allotted } = parsed(pair)
  const { by, text } = (wrapped ?? {}) as Record<string, unknown> // looked at right below
  const isKey =
    typeof by === 'string' && typeof text === 'string' && typeof createdAt === 'number' && typeof allotted === 'number'
  if (!isKey) throw damaged(pair)
  return { format, wrapped: { by, text }, createdAt, allotted }
}

function isId(text: string): boolean {
  return text.length === ID_BYTES * 2 && /^[0-9a-f]+$/.test(text)
}

function parsed(pair: KeyValue): Record<string, unknown> & { format: number } {
  let record: unknown
  try {
    record = JSON.parse(Buffer.from(pair.value).toString())
  } catch {
    // Said below, with its place.
    throw damaged(pair)
  }
  if (typeof record !== 'object' || record === null || !('format' in record)) throw damaged(pair)
  const { format } = record
  if (typeof format !== 'number') throw damaged(pair)
  if (format > SEAL_FORMAT)
    throw new SealBroken(`${pair.key} was written by a newer version of Holdfast (format ${format}). Upgrade this one.`)
  return { ...record, format }
}

function damaged({ key }: KeyValue): SealBroken {
  return new SealBroken(`The record ${key} of the store's data keys is damaged.`)
}
