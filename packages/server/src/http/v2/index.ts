import { administrationRoutes } from '../administration/index.ts'
import { acquireAll } from './acquire-all.ts'
import { acquireLock } from './acquire-lock.ts'
import { campaign } from './campaign.ts'
import { cancelRequest } from './cancel-request.ts'
import { closeSession } from './close-session.ts'
import { connect } from './connect.ts'
import { deleteLock } from './delete-lock.ts'
import { forceRelease } from './force-release.ts'
import { freeze } from './freeze.ts'
import { getElection } from './get-election.ts'
import { getLock } from './get-lock.ts'
import { getSession } from './get-session.ts'
import { getUsage } from './get-usage.ts'
import { listFreezes } from './list-freezes.ts'
import { listLocks } from './list-locks.ts'
import { observe } from './observe.ts'
import { openSession } from './open-session.ts'
import { patchLock } from './patch-lock.ts'
import { preemptLock } from './preempt-lock.ts'
import { proclaim } from './proclaim.ts'
import { putLock } from './put-lock.ts'
import { queryAudit } from './query-audit.ts'
import { readValue } from './read-value.ts'
import { releaseAll } from './release-all.ts'
import { releaseLock } from './release-lock.ts'
import { renewSession } from './renew-session.ts'
import { resign } from './resign.ts'
import { showAuditHeads } from './show-audit-heads.ts'
import { showHeld } from './show-held.ts'
import { showHistory } from './show-history.ts'
import { showQueue } from './show-queue.ts'
import { thaw } from './thaw.ts'
import { transferLock } from './transfer-lock.ts'
import { validateToken } from './validate-token.ts'
import { verifyAudit } from './verify-audit.ts'
import { watch } from './watch.ts'
import { whoami } from './whoami.ts'
import { writeValue } from './write-value.ts'

export const v2Routes = [
  openSession,
  renewSession,
  getSession,
  closeSession,
  listLocks,
  getLock,
  putLock,
  patchLock,
  deleteLock,
  acquireLock,
  releaseLock,
  transferLock,
  cancelRequest,
  validateToken,
  readValue,
  writeValue,
  showQueue,
  showHistory,
  forceRelease,
  preemptLock,
  listFreezes,
  freeze,
  thaw,
  acquireAll,
  releaseAll,
  campaign,
  proclaim,
  resign,
  getElection,
  observe,
  watch,
  connect,
  whoami,
  getUsage,
  showHeld,
  queryAudit,
  showAuditHeads,
  verifyAudit,
  ...administrationRoutes,
]
