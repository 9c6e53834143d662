/** Where the key-encryption key of the store comes from. */

import type { KeySourceConfig } from '../engine/sealed/key-source.ts'
import { ConfigError } from './values.ts'

/** As they were given; empty: not at all. */
export type EncryptionSettings = {
  encryption_key_file: string
  encryption_key_command: string
  encryption_kms_command: string
}

/** null: the store is in the clear. @throws ConfigError */
export function encryptionOf(given: EncryptionSettings): KeySourceConfig | null {
  const { encryption_key_file: path, encryption_key_command: command, encryption_kms_command: kms } = given
  const sources: KeySourceConfig[] = [
    ...(path === '' ? [] : [{ type: 'file', path } as const]),
    ...(command === '' ? [] : [{ type: 'command', command } as const]),
    ...(kms === '' ? [] : [{ type: 'kms', command: kms } as const]),
  ]
  if (sources.length > 1) {
    throw new ConfigError(
      'Of `encryption_key_file`, `encryption_key_command` and `encryption_kms_command` only one can be given: the key comes from one place.',
    )
  }
  return sources[0] ?? null
}
