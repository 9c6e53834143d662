/**
 * Where data keys are wrapped. The key-encryption key comes from a file or from the output of a command, and is read anew each time it is needed (at
 * a start, at a rotation), so that a replaced one is used without a restart; or it never comes at all, and a command wraps and unwraps.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  type KeyObject,
  timingSafeEqual,
} from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import type { Clock } from '../../clock.ts'
import type { Random } from '../../random.ts'
import { runCommand } from './command.ts'
import { KeyUnavailable } from './failures.ts'

export type Wrapped = {
  /** What it was wrapped by: a fingerprint of the key-encryption key, or `kms`. */
  by: string
  text: string
}

export interface KeySource {
  /** `context` is bound to it: what was wrapped as one data key does not open as another. */
  wrap(secret: Buffer, context: string): Promise<Wrapped>
  /** @throws KeyUnavailable */
  unwrap(wrapped: Wrapped, context: string): Promise<Buffer>
}

export type KeySourceConfig =
  | { type: 'file'; path: string }
  | { type: 'command'; command: string }
  | { type: 'kms'; command: string }

type Surroundings = { clock: Clock; random: Random }

export const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const FINGERPRINT_CHARS = 16
const CIPHER = 'aes-256-gcm'
/** Group and others: nobody but the server's own user reads a key. */
const FOREIGN_MODE = 0o077
/** What a KMS makes of 32 bytes is some hundred bytes. */
const WRAPPED_CHARS_MAX = 16_384
/** What `Wrapped.by` says of a KMS, whichever of its keys it has used. */
export const KMS = 'kms'

export function keySourceOf(config: KeySourceConfig, surroundings: Surroundings): KeySource {
  switch (config.type) {
    case 'file':
      return new LocalSource(() => keyInFile(config.path), surroundings.random)
    case 'command':
      return new LocalSource(() => keyFromCommand(config.command, surroundings.clock), surroundings.random)
    case 'kms':
      return new KmsSource(config.command, surroundings.clock)
  }
}

/** While data keys are wrapped by another source (`rewrap`) each of them is wrapped by the one or the other. */
export function eitherOf({ from, to }: { from: KeySource; to: KeySource }): KeySource {
  return {
    wrap: (secret, context) => to.wrap(secret, context),
    async unwrap(wrapped, context) {
      try {
        return await from.unwrap(wrapped, context)
      } catch (error) {
        if (!(error instanceof KeyUnavailable)) throw error
        // When neither unwraps it, it is the key that the server has which is to be put right.
        return to.unwrap(wrapped, context).catch(() => Promise.reject(error))
      }
    },
  }
}

class LocalSource implements KeySource {
  readonly #read: () => Promise<KeyObject>
  readonly #random: Random

  constructor(read: () => Promise<KeyObject>, random: Random) {
    this.#read = read
    this.#random = random
  }

  async wrap(secret: Buffer, context: string): Promise<Wrapped> {
    const key = await this.#read()
    const nonce = this.#random.bytes(NONCE_BYTES)
    const cipher = createCipheriv(CIPHER, key, nonce).setAAD(Buffer.from(context))
    const bytes = Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()])
    return { by: fingerprintOf(key), text: bytes.toString('base64') }
  }

  async unwrap({ by, text }: Wrapped, context: string): Promise<Buffer> {
    const key = await this.#read()
    const own = fingerprintOf(key)
    if (by !== own) {
      throw new KeyUnavailable(
        `The store's data keys are wrapped by ${by}, and the key-encryption key that was given is ${own}. Give the right one; nothing was changed.`,
      )
    }
    const bytes = Buffer.from(text, 'base64')
    const damaged = 'A data key of the store does not open under its key-encryption key: its record was changed.'
    if (bytes.length !== NONCE_BYTES + KEY_BYTES + TAG_BYTES) throw new KeyUnavailable(damaged)
    const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
    decipher.setAAD(Buffer.from(context)).setAuthTag(bytes.subarray(-TAG_BYTES))
    try {
      return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()])
    } catch (cause) {
      throw new KeyUnavailable(damaged, { cause })
    }
  }
}

/**
 * `HOLDFAST_KMS_OPERATION` is `wrap` or `unwrap`, `HOLDFAST_KMS_CONTEXT` what the key is for. To wrap, the command reads the data key as base64 and
 * prints whatever it will need to unwrap it; to unwrap, the other way round.
 */
class KmsSource implements KeySource {
  readonly #command: string
  readonly #clock: Clock

  constructor(command: string, clock: Clock) {
    this.#command = command
    this.#clock = clock
  }

  async wrap(secret: Buffer, context: string): Promise<Wrapped> {
    const text = await this.#ask('wrap', context, secret.toString('base64'))
    if (text === '' || text.length > WRAPPED_CHARS_MAX)
      throw new KeyUnavailable(`The KMS command gave ${text.length} characters, not 1 to ${WRAPPED_CHARS_MAX}.`)
    const back = await this.unwrap({ by: KMS, text }, context)
    // A key that cannot be had back would take everything that it seals with it.
    if (!timingSafeEqual(back, secret)) throw new KeyUnavailable('The KMS command unwraps another key than it wrapped.')
    return { by: KMS, text }
  }

  async unwrap({ by, text }: Wrapped, context: string): Promise<Buffer> {
    if (by !== KMS) {
      throw new KeyUnavailable(
        `The store's data keys are wrapped by the key-encryption key ${by}, not by a KMS: give --encryption-key-file or --encryption-key-command.`,
      )
    }
    const secret = parseKey(await this.#ask('unwrap', context, text))
    if (!secret) throw new KeyUnavailable(`The KMS command did not print a data key (${KEY_BYTES} bytes in base64).`)
    return secret
  }

  #ask(operation: 'wrap' | 'unwrap', context: string, input: string): Promise<string> {
    const environment = { HOLDFAST_KMS_OPERATION: operation, HOLDFAST_KMS_CONTEXT: context }
    return runCommand({ what: 'KMS', command: this.#command, input, environment, clock: this.#clock })
  }
}

async function keyInFile(path: string): Promise<KeyObject> {
  let text: string
  try {
    const { mode } = await stat(path)
    if (process.platform !== 'win32' && (mode & FOREIGN_MODE) !== 0) {
      throw new KeyUnavailable(
        `The file ${path} of the key-encryption key can be read by others (mode ${(mode & 0o777).toString(8)}): chmod 600 it.`,
      )
    }
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof KeyUnavailable) throw error
    throw new KeyUnavailable(
      `The key-encryption key cannot be read: ${error instanceof Error ? error.message : error}.`,
      { cause: error },
    )
  }
  return keyOf(text, `The file ${path}`)
}

async function keyFromCommand(command: string, clock: Clock): Promise<KeyObject> {
  return keyOf(
    await runCommand({ what: 'encryption key', command, input: '', environment: {}, clock }),
    'What the encryption key command printed',
  )
}

/** The text itself is in no message. */
function keyOf(text: string, what: string): KeyObject {
  const key = parseKey(text)
  if (!key) throw new KeyUnavailable(`${what} is not a key of ${KEY_BYTES} bytes in hexadecimal or base64.`)
  return createSecretKey(key)
}

function parseKey(text: string): Buffer | null {
  const word = text.trim()
  if (/^[0-9a-fA-F]{64}$/.test(word)) return Buffer.from(word, 'hex')
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(word)) return Buffer.from(word, 'base64')
  return null
}

/** Tells keys apart and nothing of them. */
function fingerprintOf(key: KeyObject): string {
  const digest = createHmac('sha256', key).update('holdfast key-encryption key').digest('hex')
  return `kek:${digest.slice(0, FINGERPRINT_CHARS)}`
}
