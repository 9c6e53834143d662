/** What watchers read: ordered, unique, none missing within an instance; `id` only grows and is not consecutive. */
export const eventTypes = [
  'granted',
  'queued',
  'dequeued',
  'released',
  'expired',
  'preempting',
  'preempted',
  'forced',
  'transferred',
  'delayed',
  'freed',
  'frozen',
  'value_changed',
  'configured',
  'deleted',
] as const

export type EventType = (typeof eventTypes)[number]

export type LockEvent = {
  /** A cursor: resume after it with `Last-Event-ID`. Compare for equality only. */
  id: string
  at: string
  type: EventType
  /** For `frozen`: the prefix. */
  lock: string
  token?: number
  holder?: string
  /** Who caused it, when that was not the holder. */
  by?: string
  reason?: string
  queue_length?: number
}
