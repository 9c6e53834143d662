/**
 * One value, sealed: AES-256-GCM under a data key, bound to the key of its record. A value that was changed, cut short, sealed under another key, or
 * moved to another record does not open.
 *
 * `2 | id of the data key (8) | nonce (12) | ciphertext | tag (16)`. The first byte tells it from what is in the clear: records begin with a brace,
 * batches with a brace or 1. Nonces are random, so a data key may seal only so many values before two nonces are likely to meet; who counts is
 * `keyring.ts`.
 */
import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto'
import type { Random } from '../../random.ts'
import { SealBroken } from './failures.ts'

export type DataKey = {
  /** 16 digits, hexadecimal. */
  id: string
  secret: KeyObject
}

const CIPHER = 'aes-256-gcm'
const SEALED = 2
export const ID_BYTES = 8
const NONCE_BYTES = 12
const TAG_BYTES = 16
const HEAD_BYTES = 1 + ID_BYTES + NONCE_BYTES
/** How much longer a value becomes. */
export const SEAL_BYTES = HEAD_BYTES + TAG_BYTES

export function isSealed(value: Uint8Array): boolean {
  return value[0] === SEALED && value.byteLength >= SEAL_BYTES
}

/** Of the data key that it is sealed under; null: it is in the clear. */
export function dataKeyOf(value: Uint8Array): string | null {
  return isSealed(value) ? viewOf(value).toString('hex', 1, 1 + ID_BYTES) : null
}

export function seal(
  { key, value }: { key: string; value: Uint8Array },
  { id, secret }: DataKey,
  random: Random,
): Buffer {
  const nonce = random.bytes(NONCE_BYTES)
  const cipher = createCipheriv(CIPHER, secret, nonce)
  cipher.setAAD(placeOf(key, id))
  const head = [Buffer.of(SEALED), Buffer.from(id, 'hex'), nonce]
  return Buffer.concat([...head, cipher.update(value), cipher.final(), cipher.getAuthTag()])
}

/** @throws SealBroken */
export function unseal({ key, value }: { key: string; value: Uint8Array }, { id, secret }: DataKey): Buffer {
  const bytes = viewOf(value)
  const decipher = createDecipheriv(CIPHER, secret, bytes.subarray(1 + ID_BYTES, HEAD_BYTES), {
    authTagLength: TAG_BYTES,
  })
  decipher.setAAD(placeOf(key, id))
  decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES))
  try {
    return Buffer.concat([decipher.update(bytes.subarray(HEAD_BYTES, bytes.length - TAG_BYTES)), decipher.final()])
  } catch (cause) {
    throw new SealBroken(
      `The value of ${key} does not open: it was changed, cut short, or belongs to another record. Nothing was granted on it.`,
      { cause },
    )
  }
}

/** What a value is bound to. The id has one length, so no two places are written alike. */
function placeOf(key: string, id: string): Buffer {
  return Buffer.from(`holdfast value ${SEALED} ${id} ${key}`)
}

function viewOf(value: Uint8Array): Buffer {
  return Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}
