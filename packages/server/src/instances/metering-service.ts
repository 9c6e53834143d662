/** IBM's metering service: how a submission is sent to it, and what its answer says of each record. */
import type { Clock } from '../clock.ts'
import { type Outcome, RefusedWhole, type Submit } from './submission.ts'

export type MeteringService = {
  /** `https://billing.cloud.ibm.com` or what stands in for it. */
  url: string
  /** As the catalogue calls the service. */
  resourceId: string
  /** The bearer token, anew for each submission: it lasts an hour at the most. */
  token(): Promise<string>
  clock: Clock
  timeoutMs?: number
}

const TIMEOUT_MS = 30_000
/** An answer that is longer is none. */
export const ANSWER_BYTES_MAX = 1024 * 1024
/** Of a record: made, or there already from a submission whose answer was lost. */
const acceptedStatus: ReadonlySet<unknown> = new Set([200, 201, 202, 409])
/** What is no word about the record: it came too early, too often or too slowly. */
const passingStatus: ReadonlySet<number> = new Set([408, 425, 429])
/** A submission that is not understood, for the sake of one of its records or of all. Other refusals (401, 403, 404 …) are about who asks, and where. */
const wholeStatus: ReadonlySet<number> = new Set([400, 413, 422])
/** Of what the service says of a refusal: it goes into the log. */
const WHY_CHARS_MAX = 300

export function submitTo(service: MeteringService): Submit {
  return async records => {
    const { url, resourceId, token, clock, timeoutMs = TIMEOUT_MS } = service
    const abort = new AbortController()
    const cancel = clock.after(timeoutMs, () => abort.abort(new Error(`no answer within ${timeoutMs} ms`)))
    try {
      const response = await fetch(new URL(`/v4/metering/resources/${encodeURIComponent(resourceId)}/usage`, url), {
        method: 'POST',
        headers: { authorization: `Bearer ${await token()}`, 'content-type': 'application/json' },
        body: JSON.stringify(records),
        redirect: 'error',
        signal: abort.signal,
      })
      const text = await textOf(response)
      const { status } = response
      if (wholeStatus.has(status)) throw new RefusedWhole(`${status} ${text}`.slice(0, WHY_CHARS_MAX))
      if (status !== 202) throw new Error(`the metering service answered ${status}`)
      return outcomesOf(text)
    } finally {
      cancel()
    }
  }
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > ANSWER_BYTES_MAX)
      throw new Error(`the metering service answered with more than ${ANSWER_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** `{resources: [{status, code?, message?}]}`, a status for each record in their order. */
function outcomesOf(text: string): Outcome[] {
  const answer: unknown = JSON.parse(text)
  const { resources } = (answer ?? {}) as { resources?: unknown } // looked at right below
  if (!Array.isArray(resources)) throw new Error('the metering service answered without a status for each record')
  return resources.map((resource: unknown): Outcome => {
    const { status, code, message } = (resource ?? {}) as Record<string, unknown> // of any type, and treated so
    if (acceptedStatus.has(status)) return { type: 'accepted' }
    if (typeof status !== 'number' || status < 400 || status > 499 || passingStatus.has(status))
      return { type: 'unknown' }
    const why = [status, code, message].filter(part => part !== undefined).join(' ')
    return { type: 'refused', why: why.slice(0, WHY_CHARS_MAX) }
  })
}
