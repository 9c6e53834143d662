/** Why a call of the library came to nothing. */
import type { HoldfastError } from '../../packages/client/src/errors.ts'
import type { Chance } from './chance.ts'

/** Its caller did not want to wait any longer. */
export class GivenUp extends Error {}

/** Of any copy of the class. */
export function isOfTheService(error: unknown): error is HoldfastError {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && !error.code.startsWith('ERR_')
}

export function codeOf(error: unknown): string {
  return isOfTheService(error) ? error.code : ''
}

/** Before whoever was told so asks for something again. A store that is full stays so for a while. */
export function pauseMs(code: string, chance: Chance): number {
  return chance.between(5, 60) * (code === 'storage_full' ? 10 : 1)
}
