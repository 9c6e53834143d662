/** What the doors may ask about permission: one shape for our own roles and policies and for a remote decision point (ECOSYSTEM 1.5). */
import type { Action } from '@holdfast/protocol/operation'
import type { Identity } from '../auth/identity.ts'

export type Question = {
  identity: Identity
  instance: string
  action: Action
  /** A name, or null: what concerns no lock. */
  lock: string | null
  address: string
  /** Wall time. */
  atMs: number
  /** Of the request, where it has them. */
  ttlMs?: number
  priority?: number
  preempt?: 'never' | 'graceful' | 'immediate'
  labels?: Readonly<Record<string, string>>
}

export type Decision = {
  permitted: boolean
  /** For people: which role by which policy, or what is missing or which condition failed. Names no policy to those who may not read policies: the caller decides whom to show it. */
  why: string
  /** null: none decided (root, a role of the credential itself, or denied). */
  policy: string | null
}

export interface DecisionPoint {
  /** Deny by default. At once whenever nothing has to be fetched. Never throws and never rejects: what cannot be decided is denied. */
  decide(question: Question): Decision | Promise<Decision>
  /** Whether any name that begins with `prefix` might be permitted; then each name is asked about by itself. */
  mayAny(question: Omit<Question, 'lock'> & { prefix: string }): boolean | Promise<boolean>
}
