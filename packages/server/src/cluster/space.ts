/** Room in the store, on demand: what Holdfast's servers and `cluster up` do by themselves (engine/etcd/space.ts), done now and all of it. */
import { pause } from '../clock.ts'
import { alarmType } from '../engine/etcd/messages.ts'
import { ClusterFailure } from './failure.ts'
import { demandHealth, type MemberPicture, type Picture } from './picture.ts'
import { demandRunner, moveLeaderFrom, type Rolling, restartOneByOne, waitForHealth } from './rolling.ts'
import { quotaOf } from './status.ts'

/** A listing of many pages that has begun before is done by then, as at the compaction that happens by itself. */
const RETAIN_MS = 10_000
/** Of the quota: below it an alarm would not be raised anew at once. */
const DISARM_SHARE = 0.85
/** Servers defragment from there on, and refuse acquires soon after. */
const DEFRAGMENT_SHARE = 0.7
/** As servers ask for. */
const QUOTA_BYTES_MIN = 16 * 1024 * 1024

export type Defragmented = { name: string; bytesBefore: number; bytesAfter: number }

/** Lets etcd forget what had been superseded when this was called. Whoever still reads it has to begin anew. Returns the revision. */
export async function compactNow(work: Rolling, retainMs = RETAIN_MS): Promise<number> {
  const { doors, clock, signal, progress } = work
  const picture = await doors.look()
  demandHealth(picture, 'compacting')
  const leader = picture.leader!
  // Of the member that is the least far.
  const revision = Math.min(...picture.members.map(({ status }) => status?.header?.revision ?? 0))
  progress.update(`waiting ${retainMs / 1_000} s, for those who are reading …`)
  await pause(clock, retainMs, signal)
  signal.throwIfAborted()
  await doors.calls(leader).compact(revision)
  return revision
}

/** Gives free pages back, one member after another, the leader last and only when it leads no more; then ends alarms that have no reason left. */
export async function defragmentAll(work: Rolling): Promise<Defragmented[]> {
  const { doors, signal, progress } = work
  const first = await doors.look()
  demandHealth(first, 'defragmenting')
  const order = [...first.members].sort((one, other) => Number(one.isLeader) - Number(other.isLeader))
  const done: Defragmented[] = []
  for (const { id, name } of order) {
    signal.throwIfAborted()
    const before = sizeOf(find(await waitForHealth(work, 'defragmenting'), id))
    await moveLeaderFrom(work, id)
    progress.update(`defragmenting ${name} (${done.length + 1} of ${order.length}); it answers nothing meanwhile …`)
    await doors.calls(find(first, id)).defragment()
    const after = sizeOf(find(await waitForHealth(work, 'defragmenting'), id))
    progress.say(`${name}: ${megabytes(before)} → ${megabytes(after)}`)
    done.push({ name, bytesBefore: before, bytesAfter: after })
  }
  await endAlarms(work)
  return done
}

/**
 * How large the database may get from now on. The members of this machine are started anew, one after another; those of others keep what they have until the same
 * is done there, and the smallest counts. @throws ClusterFailure, also when it would be full at once
 */
export async function changeQuota(work: Rolling, quotaBytes: number): Promise<void> {
  const { directory, doors } = work
  if (quotaBytes < QUOTA_BYTES_MIN) throw new ClusterFailure(`A quota is at least ${megabytes(QUOTA_BYTES_MIN)}.`)
  const purpose = 'changing the quota'
  // Before the plan has it: who starts a member next for another reason must not carry out what was refused.
  demandRunner(directory)
  const picture = await doors.look()
  demandHealth(picture, purpose)
  const used = Math.max(0, ...picture.members.map(sizeOf))
  if (used > DEFRAGMENT_SHARE * quotaBytes)
    throw new ClusterFailure(
      `The database has ${megabytes(used)}: under a quota of ${megabytes(quotaBytes)} it would be full at once, or soon. \`holdfast cluster compact\` and \`holdfast cluster defrag\` may make it smaller.`,
    )
  directory.change(cluster => ({ ...cluster, quotaBytes }))
  await restartOneByOne(work, { purpose, change: plan => plan })
  await endAlarms(work)
}

/** Only those about space; that data differs between members is for people to look at. */
async function endAlarms({ doors, directory, progress }: Rolling): Promise<void> {
  const picture = await doors.look()
  const quota = quotaOf(picture, directory.plan().quotaBytes)
  const hasRoom = picture.members.every(member => sizeOf(member) < DISARM_SHARE * quota)
  if (!hasRoom || !picture.leader) return
  const calls = doors.calls(picture.leader)
  for (const { memberID, alarm } of await calls.alarms()) {
    if (alarm !== alarmType.NOSPACE) continue
    await calls.disarm({ memberId: memberID, alarm: 'NOSPACE' })
    progress.say('the alarm about space has been ended: there is room again')
  }
}

function find({ members }: Picture, id: bigint): MemberPicture {
  const found = members.find(member => member.id === id)
  if (!found) throw new Error('the member has been removed meanwhile')
  return found
}

const sizeOf = ({ status }: MemberPicture) => status?.dbSize ?? 0

export function megabytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`
}
