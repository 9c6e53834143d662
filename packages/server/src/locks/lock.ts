/** What is known of one name. */
import type { Config, Delay, Grant, Value, Waiter } from './model.ts'

/** Shared by all that have none, as a million locks do; never written to. */
export const none: never[] = []

/** The list to insert into: the shared empty one is never written to. */
export function own<Item>(list: Item[]): Item[] {
  return list === none ? [] : list
}

/** All that is known of one name. Exists while held, waited for, delayed, configured, or carrying a value. */
export class Lock {
  readonly name: string
  /** By token. */
  grants: Grant[] = []
  /** By token. */
  delays: Delay[] = none
  /** By rank, then ticket: the first goes next. */
  queue: Waiter[] = none
  config: Config | null = null
  value: Value | null = null
  /** Moving average of how long grants lasted, for estimates: of the time since this server decides, and the table has not forgotten the lock. */
  typicalHoldMs: number | null = null
  /** Free, and kept by the table for a while all the same; nobody else sees it then. */
  isUnused = false
  /** For the table: it is among those that were free not long ago. */
  isInRing = false

  constructor(name: string) {
    this.name = name
  }
}
