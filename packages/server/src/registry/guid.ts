/** Ids as RFC 9562 has them: IBM's tools expect GUIDs. */
import { createHash } from 'node:crypto'
import { type Random, randomHex } from '../random.ts'

/** Version 4: by chance. */
export function randomGuid(random: Random): string {
  return formatted(randomHex(random, 16), '4')
}

/** Version 5: the same for the same name, and none that chance gives. What names stand for is the caller's to say within them. */
export function guidOfName(name: string): string {
  return formatted(createHash('sha1').update('holdfast ').update(name).digest('hex'), '5')
}

function formatted(hex: string, version: '4' | '5'): string {
  const variant = ((Number.parseInt(hex[16] ?? '8', 16) & 0x3) | 0x8).toString(16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${version}${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
