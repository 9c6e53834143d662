/** What went wrong, for people as a sentence and for programs as an object; and the exit code that goes with it. */
import { HoldfastError } from '@holdfast/client'
import { CommanderError } from 'commander'
import { CommandFailure, exitCodeOf, exitCodes } from './exit.ts'
import { note, noteJson } from './output.ts'

/** `code`: of the API's table where it is the service's or the library's; else the nearest of it. */
type Failure = { code: string; message: string; details: Readonly<Record<string, unknown>> }

/** Says it on standard error, and returns the exit code. `asJson`: as one JSON object on one line, and nothing else. */
export function report(error: unknown, { asJson }: { asJson: boolean }): number {
  const exitCode = error instanceof CommanderError ? usageCode(error) : exitCodeOf(error)
  if (exitCode === 0) return 0
  if (asJson) noteJson({ ...failureOf(error), exitCode })
  // Of usage commander has said what is wrong.
  else if (!(error instanceof CommanderError)) note(failureOf(error).message)
  return exitCode
}

/** Help and version are no mistakes. */
function usageCode(error: CommanderError): number {
  return error.exitCode === 0 || error.code === 'commander.helpDisplayed' ? 0 : exitCodes.usage
}

function failureOf(error: unknown): Failure {
  if (error instanceof HoldfastError) return { code: error.code, message: error.message, details: error.details }
  if (error instanceof CommandFailure) return { code: codeOf(error.exitCode), message: error.message, details: {} }
  if (error instanceof CommanderError) return { code: 'invalid_request', message: usageText(error), details: {} }
  const what = error instanceof Error ? error.stack : String(error)
  return { code: 'internal', message: `a bug, please report it: ${what}`, details: {} }
}

function usageText({ code, message }: CommanderError): string {
  if (code === 'commander.help') return 'A command is missing; add --help to see what can be said.'
  return message.replace(/^error: /, '')
}

/** Of failures that this program has found out by itself. */
function codeOf(exitCode: number): string {
  switch (exitCode) {
    case exitCodes.usage:
      return 'invalid_request'
    case exitCodes.notFound:
      return 'not_found'
    case exitCodes.notAcquired:
      return 'lock_held'
    case exitCodes.lost:
    case exitCodes.preempted:
      return 'lock_lost'
    case exitCodes.unreachable:
      return 'unavailable'
    default:
      // Of a command with codes of its own, whose message says more.
      return 'failed'
  }
}
