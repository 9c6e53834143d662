/**
 * Records as JSON in a POST. `Holdfast-Signature: t=<seconds since 1970>,v1=<hex>` is the HMAC-SHA-256 of `<t>.<body>` under the secret, so that the
 * receiver knows who sent it, and when; `Idempotency-Key` is the same when the same records are sent again. Taken is what is answered with 2xx.
 */
import { createHmac } from 'node:crypto'
import type { Clock } from '../../clock.ts'
import type { AuditRecord } from '../record.ts'
import { lineOf, type Sink } from './sink.ts'

export type WebhookOptions = { url: string; secret: string | null; clock: Clock }

export const WEBHOOK_MS_MAX = 10_000

export class WebhookSink implements Sink {
  readonly #options: WebhookOptions

  constructor(options: WebhookOptions) {
    this.#options = options
  }

  async send(records: readonly AuditRecord[]): Promise<void> {
    const { url, secret, clock } = this.#options
    const body = `{"records":[${records.map(lineOf).join(',')}]}`
    const headers: Record<string, string> = {
      'content-type': 'application/json; charset=utf-8',
      'idempotency-key': `${records[0]?.id}_${records.at(-1)?.id}`,
    }
    if (secret !== null) headers['holdfast-signature'] = signatureOf(secret, body, Math.floor(clock.wallMs() / 1_000))
    const tooLate = new AbortController()
    const cancel = clock.after(WEBHOOK_MS_MAX, () => tooLate.abort())
    try {
      // Followed elsewhere, the records would be somebody else's.
      const response = await fetch(url, { method: 'POST', headers, body, redirect: 'error', signal: tooLate.signal })
      await response.arrayBuffer()
      if (!response.ok) throw new Error(`it answered ${response.status}`)
    } finally {
      cancel()
    }
  }

  close(): void {
    // A request under way ends by itself within its time; nothing else is open.
  }
}

export function signatureOf(secret: string, body: string, seconds: number): string {
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`
}
