/** Holdfast's library: hold a distributed lock in three lines. */
export type { AcquireOptions, Claim } from './acquire.ts'
export type { ApiKey } from './credential.ts'
export type { CampaignOptions, Election, Leadership } from './election.ts'
export {
  ClosedError,
  DeadlockError,
  type ErrorCode,
  FrozenError,
  HeldTooShortlyError,
  HoldfastError,
  hasCode,
  LockHeldError,
  LockLostError,
  type LockLostReason,
  type Notice,
  QueueFullError,
  TimeoutError,
  UnavailableError,
} from './errors.ts'
export { connect, type Holdfast } from './holdfast.ts'
export type { LockEventName, LockEvents, LockListener, Preempting } from './holding.ts'
export { type IamOptions, iamTokens } from './iam.ts'
export type { Lock, Proof, Receiver, StoredValue } from './lock.ts'
export type { LockSet } from './lock-set.ts'
export type { NamedLock, NamedOptions, TryOptions } from './named-lock.ts'
export type { NavigatorLocks, WebLock, WebLockInfo, WebLockOptions, WebLockSnapshot } from './navigator-locks.ts'
export { finishSlot, isSlotFinished, type OnceOptions, type OnceResult, type Slot } from './once.ts'
export type { ConnectOptions, SessionEvent } from './options.ts'
export type { Rest } from './rest.ts'
export type * from './views.ts'
export type { WatchItem, WatchOptions, WatchReset } from './watch.ts'
