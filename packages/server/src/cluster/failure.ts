/** What keeps an operation on a cluster from being done; the message is for people and says what to do. */
export class ClusterFailure extends Error {
  override readonly name: string = 'ClusterFailure'
}

/** Another operation on the same cluster is under way. */
export class ClusterBusy extends ClusterFailure {
  override readonly name = 'ClusterBusy'
}

/** No member answers; one may, a moment later. */
export class ClusterUnreachable extends ClusterFailure {
  override readonly name = 'ClusterUnreachable'
}

/** Somebody has asked for it to be stopped. What had been begun has been undone, or is said in the message. */
export class ClusterStopped extends Error {
  override readonly name = 'ClusterStopped'
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
