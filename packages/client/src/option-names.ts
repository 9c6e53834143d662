/**
 * Options are refused by name when they are not known. A misspelt one is not merely ignored otherwise: `{ wait: 5 }` waits for ever.
 * The compiler says so to who uses it; this says so to everybody else, and sees to it that the lists here are complete.
 */
import { HoldfastError } from '@holdfast/protocol/errors'
import { nearest } from '@holdfast/protocol/nearest'

/** All the names of an option object, and no others. */
export type Names<Options> = Readonly<Record<keyof Options, true>>

/** null: all are known. `call`: as the user wrote it, for the message. */
export function unknownOption(
  call: string,
  options: object,
  names: Readonly<Record<string, true>>,
): HoldfastError | null {
  // The types say so; from JavaScript it may be anything.
  const given: unknown = options
  if (typeof given !== 'object' || given === null) return notOptions(call, names)
  for (const name of Object.keys(given)) if (!Object.hasOwn(names, name)) return unknown(call, name, names)
  return null
}

/** Throws what `unknownOption` finds. */
export function refuseUnknown(call: string, options: object, names: Readonly<Record<string, true>>): void {
  const error = unknownOption(call, options, names)
  if (error) throw error
}

/** Options stand before the routine; behind it they would not be heard of. @throws {HoldfastError} `invalid_request` */
export function optionsFirst<Options extends object, Routine extends (...held: never[]) => unknown>(
  call: string,
  second: Options | Routine,
  third: Routine | undefined,
): { options: Partial<Options>; routine: Routine } {
  // The types say so; from JavaScript it may be anything.
  const behind: unknown = third
  if (typeof second === 'function') {
    if (behind === undefined) return { options: {}, routine: second }
    throw new HoldfastError('invalid_request', `${call} takes its options before the routine, not behind it.`)
  }
  if (third !== undefined && typeof behind === 'function') return { options: second, routine: third }
  throw new HoldfastError('invalid_request', `${call} needs a routine to run.`)
}

function unknown(call: string, name: string, names: Readonly<Record<string, true>>): HoldfastError {
  const known = Object.keys(names)
  const meant = nearest(name, known)
  const message = `${call} has no option \`${name}\`. Did you mean \`${meant}\`? It has ${known.join(', ')}.`
  return new HoldfastError('invalid_request', message, { details: { option: name, nearest: meant } })
}

function notOptions(call: string, names: Readonly<Record<string, true>>): HoldfastError {
  const message = `${call} takes its options as an object, with ${Object.keys(names).join(', ')}.`
  return new HoldfastError('invalid_request', message)
}
