import { acquireLock } from './acquire-lock.ts'
import { configureLock } from './configure-lock.ts'
import { deleteLock } from './delete-lock.ts'
import { getLock } from './get-lock.ts'
import { listLocks } from './list-locks.ts'
import { releaseLock } from './release-lock.ts'
import { renewLock } from './renew-lock.ts'
import { watchLock } from './watch-lock.ts'

export const v1Routes = [configureLock, listLocks, getLock, deleteLock, acquireLock, renewLock, releaseLock, watchLock]
