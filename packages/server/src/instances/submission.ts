/** One submission to IBM's metering service: what is sent, and what its answer says of each record. */
import type { Clock } from '../clock.ts'
import type { Submit } from './exporter.ts'

export type UsageRecord = {
  resource_instance_id: string
  plan_id: string
  region: string
  start: number
  end: number
  measured_usage: { measure: string; quantity: number }[]
}

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
      if (response.status !== 202) throw new Error(`the metering service answered ${response.status}`)
      return statusesOf(text).map(status => acceptedStatus.has(status))
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

/** `{resources: [{status, …}]}`, a status for each record in their order. */
function statusesOf(text: string): unknown[] {
  const answer: unknown = JSON.parse(text)
  const { resources } = (answer ?? {}) as { resources?: unknown } // looked at right below
  if (!Array.isArray(resources)) throw new Error('the metering service answered without a status for each record')
  return resources.map(resource => (resource as { status?: unknown } | null)?.status)
}
