/** What the doors may ask about permission: one shape for our own roles and policies and for a remote decision point (ECOSYSTEM 1.5). */
import type { Action } from '@holdfast/protocol/operation'
import type { Identity } from '../auth/identity.ts'

export type Question = {
  identity: Identity
  instance: string
  action: Action
  /** A name, or null: what concerns no lock. */
  lock: string | null
  /** `lock` is a prefix, and the action is done to all names that begin with it: all of them must be permitted. */
  isPrefix?: boolean
  address: string
  /** Wall time. */
  atMs: number
  /** The body has not been read yet, so conditions on what is in it are left for the question that follows. */
  isEarly?: boolean
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
  /** The condition that failed, in a sentence that names no policy: what whoever was denied may be told. */
  condition?: string | null
  /** null: none decided (root, a role of the credential itself, or denied). */
  policy: string | null
  /** Denied only because a policy limits the TTL and the question names none: ask again with the one that holds. */
  needsTtl?: boolean
  /** Not permitted because nobody could say, and no denial: it is refused as `unavailable`, for nothing has been taken from whoever asks. */
  isUnknown?: true
}

/** Of a decision without its reasons; null: nobody could say. */
export type Verdict = boolean | null

export function verdictOf({ permitted, isUnknown }: Decision): Verdict {
  return isUnknown ? null : permitted
}

export type Unnamed = Omit<Question, 'lock' | 'isPrefix'>

export interface DecisionPoint {
  /** Deny by default. At once whenever nothing has to be fetched. Never throws and never rejects: what cannot be decided is not permitted, and said to be unknown. */
  decide(question: Question): Decision | Promise<Decision>
  /** Whether any name that begins with `prefix` might be permitted; then each name is asked about by itself. */
  mayAny(question: Unnamed & { prefix: string }): Verdict | Promise<Verdict>
  /** Patterns outside of which no name is permitted, so that a list need not look there; null: none are known, or too many. */
  patterns(question: Unnamed): readonly string[] | null
  /** Whether anything at all is permitted to it in the instance; if not, it is not told whether there is such an instance. */
  mayEnter(question: Omit<Unnamed, 'action'>): boolean | Promise<boolean>
}
