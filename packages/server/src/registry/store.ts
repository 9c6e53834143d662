/** Where the records of the registry and its trail lie in the store, and how they are written down. */
import { hash } from 'node:crypto'
import type { Put, Trail } from './port.ts'
import type { Kind, Records } from './records.ts'

/** Of numbers in keys, so that the order of bytes is theirs. */
const SEQ_DIGITS = 16

export type RegistryKeys = ReturnType<typeof registryKeysUnder>

export function registryKeysUnder(root: string) {
  return {
    head: `${root}/registry/head`,
    records: `${root}/registry/records/`,
    record: (kind: Kind, id: string) => `${root}/registry/records/${kind}/${id}`,
    trail: `${root}/registry/trail/`,
    link: (seq: number) => `${root}/registry/trail/${String(seq).padStart(SEQ_DIGITS, '0')}`,
    uses: `${root}/registry/uses/`,
    use: (id: string) => `${root}/registry/uses/${id}`,
  }
}

/** The newest link, as the next one must name it; and from where on links are kept. */
export type Head = {
  seq: number
  hash: string
  firstSeq: number
  /** `prev` of the oldest link that is kept: the chain can be checked from there. */
  anchor: string
}

/** Before the first change. */
export const noHead: Head = { seq: 0, hash: '', firstSeq: 1, anchor: '' }

export function encode(value: object): Buffer {
  return Buffer.from(JSON.stringify(value))
}

export function decodeHead(bytes: Uint8Array): Head {
  // Written by `encode` above, and by nothing else.
  return JSON.parse(Buffer.from(bytes).toString()) as Head
}

export function decodeLink(bytes: Uint8Array): Trail {
  // As above.
  return JSON.parse(Buffer.from(bytes).toString()) as Trail
}

/** What the next link names as its predecessor: of the bytes as they are stored. */
export function hashLink(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'base64url')
}

/** @param key below `keys.records` */
export function decodeRecord(keys: RegistryKeys, key: string, bytes: Uint8Array): Put {
  const [kind, id] = key.slice(keys.records.length).split('/')
  // As above: the key says what it is.
  return { kind, id, value: JSON.parse(Buffer.from(bytes).toString()) as Records[Kind] } as Put
}
