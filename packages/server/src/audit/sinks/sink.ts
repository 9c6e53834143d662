/** Where the trail is sent beside the store. File, syslog and webhook are some. */
import type { AuditRecord } from '../record.ts'

export interface Sink {
  /** Resolves when all of them have been taken, as far as the other side tells; rejects when that is not known. They may be sent again. */
  send(records: readonly AuditRecord[]): Promise<void>
  close(): void
}

/** As the wire has it: one line of JSON. */
export function lineOf({ requestId, ...record }: AuditRecord): string {
  return JSON.stringify(requestId === undefined ? record : { ...record, request_id: requestId })
}
