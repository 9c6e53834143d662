/** A key-encryption key for tests. */
import { systemClock } from '../../clock.ts'
import { systemRandom } from '../../random.ts'
import { type KeySource, keySourceOf } from './key-source.ts'
import type { SealedOptions } from './sealed.ts'

/** Prints the same key each time; the letter tells one from another. */
export function testSource(letter = 'a'): KeySource {
  return keySourceOf(
    { type: 'command', command: `echo ${letter.repeat(64)}` },
    { clock: systemClock, random: systemRandom },
  )
}

export function sealing(options: Partial<SealedOptions> = {}): SealedOptions {
  const own = { root: 'test', meta: 'test/meta', source: testSource(), clock: systemClock, random: systemRandom }
  return { ...own, ...options }
}
