/**
 * One member after another. A member is only taken out of service when all others can be counted on, the one that leads comes last and hands its
 * leadership on first, and the next one's turn comes when this one has caught up.
 */
import type { ClusterDirectory, MemberPlan } from './directory.ts'
import { ClusterFailure } from './failure.ts'
import { type Doors, demandHealth, type MemberPicture, type Picture, quorumOf, voters } from './picture.ts'
import { type Work, waitFor } from './progress.ts'
import { runningIn } from './running.ts'

export type Rolling = Work & { directory: ClusterDirectory; doors: Doors }

const HEALTHY_MS_MAX = 60_000
/** A restart reads the whole database, and the log since the last snapshot. */
const RESTARTED_MS_MAX = 5 * 60_000

/** Those of this machine, followers first. */
export function localMembers({ members }: Picture): MemberPicture[] {
  return members.filter(({ isLocal }) => isLocal).sort((one, other) => Number(one.isLeader) - Number(other.isLeader))
}

/** @throws ClusterFailure when no process would carry out a plan. */
export function demandRunner(directory: ClusterDirectory): void {
  if (runningIn(directory)) return
  throw new ClusterFailure(
    `The members of ${directory.path} are not run by \`holdfast cluster up --data ${directory.path}\` now: start it first.`,
  )
}

/** Until every member can be counted on. @throws ClusterFailure with what is wrong when that does not come about. */
export async function waitForHealth(work: Rolling, purpose: string): Promise<Picture> {
  const beganMs = work.clock.hrtimeMs()
  return waitFor(work, { what: 'waiting until all members are well', timeoutMs: HEALTHY_MS_MAX * 2 }, async () => {
    const picture = await work.doors.look()
    try {
      demandHealth(picture, purpose)
      return picture
    } catch (error) {
      if (work.clock.hrtimeMs() - beganMs > HEALTHY_MS_MAX) throw error
      return null
    }
  })
}

/** If it leads, another one does when this returns. */
export async function moveLeaderFrom(work: Rolling, id: bigint): Promise<void> {
  const picture = await work.doors.look()
  const leader = picture.leader
  if (!leader || leader.id !== id) return
  const heirs = voters(picture).filter(member => member.id !== id && member.trouble === null)
  const heir = heirs.sort((one, other) => one.lag - other.lag)[0]
  // Alone it has nobody to hand it to.
  if (!heir) return
  await work.doors.calls(leader).moveLeader(heir.id)
  await waitFor(work, { what: `${heir.name} takes the lead`, timeoutMs: HEALTHY_MS_MAX }, async () => {
    const now = await work.doors.look()
    return now.leader && now.leader.id !== id ? true : null
  })
}

type Restart = {
  purpose: string
  change(plan: MemberPlan): MemberPlan
  /** It need not be started anew: the last time was cut short behind it. */
  isDone?(member: MemberPicture, plan: MemberPlan | undefined): boolean
}

/** Each member of this machine is changed and started anew. */
export async function restartOneByOne(work: Rolling, { purpose, change, isDone }: Restart): Promise<void> {
  const { directory, doors, progress } = work
  demandRunner(directory)
  const first = await doors.look()
  demandHealth(first, purpose)
  const planned = new Map(directory.plan().members.map(plan => [plan.name, plan]))
  const all = localMembers(first)
  const order = all.filter(member => !isDone?.(member, planned.get(member.name)))
  if (order.length < all.length) progress.say(`${all.length - order.length} of ${all.length} were done before`)
  for (const [index, { name, id }] of order.entries()) {
    demandHealth(await waitForHealth(work, purpose), purpose)
    await moveLeaderFrom(work, id)
    const plan = directory
      .change(cluster => ({
        ...cluster,
        members: cluster.members.map(member =>
          member.name === name ? { ...change(member), generation: member.generation + 1 } : member,
        ),
      }))
      .members.find(member => member.name === name)
    await waitUntilRestarted(work, { name, generation: plan?.generation ?? 0 })
    await waitForHealth(work, purpose)
    progress.say(`${name} has been started anew (${index + 1} of ${order.length})`)
  }
}

async function waitUntilRestarted(work: Rolling, { name, generation }: { name: string; generation: number }) {
  await waitFor(work, { what: `${name} starts`, timeoutMs: RESTARTED_MS_MAX }, async () => {
    const running = runningIn(work.directory)
    if (!running) throw new ClusterFailure('The process of `cluster up` has ended.')
    const member = running.members.find(one => one.name === name)
    return member?.generation === generation && member.process !== null ? true : null
  })
  await waitFor(work, { what: `${name} catches up`, timeoutMs: RESTARTED_MS_MAX }, async () => {
    const { members } = await work.doors.look()
    return members.find(one => one.name === name)?.trouble === null ? true : null
  })
}

/** @throws ClusterFailure when those that are left could not decide anything. */
export function demandQuorumWithout(picture: Picture, member: MemberPicture): void {
  if (member.isLearner) return
  const rest = voters(picture).filter(({ id }) => id !== member.id)
  if (rest.length === 0) throw new ClusterFailure(`${member.name} is the only member: there is nothing without it.`)
  const well = rest.filter(({ trouble }) => trouble === null).length
  const quorum = quorumOf(rest.length)
  if (well >= quorum) return
  const ill = rest.flatMap(({ name, trouble }) => (trouble === null ? [] : [`${name} ${trouble}`])).join('; ')
  throw new ClusterFailure(
    `Not removing ${member.name}: of the ${rest.length} others only ${well} can be counted on, and ${quorum} are needed (${ill}). Bring them back first.`,
  )
}
