/**
 * An `Idempotency-Key` is its sender's: the same key of another subject is another request, and learns nothing of the first. A key is printable ASCII, so what
 * stands before the first line end is the key.
 */
export function ownKey(key: string, subject: string): string {
  return `${key}\n${subject}`
}

/** As its sender has said it. Requests of sessions are what they are. */
export function saidRequest(request: number | string): number | string {
  if (typeof request === 'number') return request
  const end = request.indexOf('\n')
  return end < 0 ? request : request.slice(0, end)
}
