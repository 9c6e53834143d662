/** `IBM-API-Dry-Run` asks that nothing be done. Whoever sends it must not find that it was. */
import type { IncomingHttpHeaders } from 'node:http'
import { invalid, type Refused } from './reply.ts'

/**
 * Whether a lock would be granted is known only by granting it, so no operation can be tried without being done: any value is refused, on
 * every path, before anything is looked at.
 */
export function dryRunRefusal(headers: IncomingHttpHeaders): Refused | undefined {
  if (headers['ibm-api-dry-run'] === undefined) return undefined
  const name = 'IBM-API-Dry-Run'
  return invalid('header', { name, message: `\`${name}\` is not supported: nothing has been done. Send it without.` })
}
