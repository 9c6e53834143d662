/** The error container on its way out, in the form that the caller takes: ours, or that of RFC 9457 with ours in it. */
import type { IncomingHttpHeaders } from 'node:http'
import { errors, type WireError } from '@holdfast/protocol/errors'

export type Container = { status: number; type: string; text: string }

export function container({ accept }: IncomingHttpHeaders, error: WireError, trace: string): Container {
  const { status } = errors[error.code]
  const ours = { trace, errors: [error] }
  if (!takesProblems(accept)) return { status, type: 'application/json; charset=utf-8', text: JSON.stringify(ours) }
  const problem = { type: 'about:blank', title: error.code, status, detail: error.message, ...ours }
  return { status, type: 'application/problem+json; charset=utf-8', text: JSON.stringify(problem) }
}

/** Only who names it: to take anything is not to know it. A weight of 0 says that it is not taken (RFC 9110, 12.4.2). */
function takesProblems(accept = ''): boolean {
  return accept
    .toLowerCase()
    .split(',')
    .map(range => range.split(';').map(part => part.trim()))
    .some(([type, ...parameters]) => type === 'application/problem+json' && !parameters.some(isZero))
}

function isZero(parameter: string): boolean {
  return /^q\s*=\s*0(\.0*)?$/.test(parameter)
}
