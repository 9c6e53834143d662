/** What locks look like to those who look: the replies of `/v2`, in camelCase. The types of the wire's schemas, without their library. */
import type { EventType } from '@holdfast/protocol/events'
import type { WireMode, WirePreempt } from '@holdfast/protocol/frame'

export type { EventType } from '@holdfast/protocol/events'

export type HolderView = {
  holder: string
  sessionId: string
  token: number
  mode: WireMode
  permits?: number
  slots?: number[]
  acquiredAt: string
  /** For people: nobody may rely on it. */
  expiresAt: string
  priority: number
  count?: number
  labels?: Record<string, string>
  metadata?: Record<string, unknown>
  endsInMs?: number
  notice?: { by: string; reason: string }
}

export type LockConfiguration = {
  description?: string
  defaultTtlMs?: number
  maxHoldMs?: number
  lockDelayMs?: number
  preemption?: WirePreempt
  graceMs?: number
  minHoldMs?: number
  limit?: number
  queueMax?: number
  labels?: Record<string, string>
}

export type LockView = LockConfiguration & {
  name: string
  state: 'free' | 'held' | 'delayed' | 'frozen'
  mode?: WireMode
  holder?: string
  sessionId?: string
  token?: number
  acquiredAt?: string
  expiresAt?: string
  holders: HolderView[]
  /** How many more there are: one answer holds only so much. */
  moreHolders?: number
  waiters: number
  value?: { value: string; token: number; writtenAt: string }
  frozen?: { prefix: string; until: string; by: string; reason: string }
  delayedMs?: number
  typicalHoldMs?: number
}

export type WaiterView = {
  position: number
  holder: string
  sessionId: string
  mode: WireMode
  permits?: number
  priority: number
  queuedAt: string
  waitedMs: number
  labels?: Record<string, string>
  locks: string[]
}

export type QueueView = { lock: LockView; waiters: WaiterView[] }

export type LockEvent = {
  /** A cursor: compare for equality only. */
  id: string
  at: string
  type: EventType
  lock: string
  token?: number
  holder?: string
  by?: string
  reason?: string
  queueLength?: number
}

export type Freeze = { prefix: string; until: string; reason: string; by: string; frozenAt: string }

/** `left`: how many more there were than one decision deals with. They follow at once; whoever must be sure looks again. */
export type EndedGrants = { ended: { name: string; token: number; holder: string }[]; left?: number }

export type Leader = { holder: string; sessionId: string; token: number; value?: string; since: string }

export type Identity = { subject: string; instance: string; actions: string[] }
