/**
 * Members of etcd that come and go while it is in use. A new one first learns, without a vote, and gets its vote when it has caught up; so
 * at no moment does a decision wait for a member that has nothing yet.
 */
import { Ports } from './begin.ts'
import {
  type ClusterDirectory,
  checkName,
  clientUrlOf,
  freeName,
  initialClusterOf,
  type MemberPlan,
  peerUrlOf,
} from './directory.ts'
import { ClusterFailure, messageOf } from './failure.ts'
import { authorityOf, issueMember, type Surroundings, saveMember } from './identities.ts'
import { demandHealth, type MemberPicture, type Picture } from './picture.ts'
import { findEtcd } from './programs.ts'
import { waitFor } from './progress.ts'
import { demandQuorumWithout, demandRunner, moveLeaderFrom, type Rolling } from './rolling.ts'
import { runningIn } from './running.ts'

export type NewMember = { name?: string; host?: string; port?: number; etcd?: string }

const STARTED_MS_MAX = 2 * 60_000
/** All data is sent to it. */
const CAUGHT_UP_MS_MAX = 60 * 60_000
const GONE_MS_MAX = 30_000
const RECONFIGURED_MS_MAX = 30_000

/** Adds one of this machine. Returns its name. @throws ClusterFailure; then the cluster is as it was, or it has been told that it is not. */
export async function addMember(work: Rolling & Surroundings, asked: NewMember): Promise<string> {
  const { directory, doors } = work
  demandRunner(directory)
  const picture = await doors.look()
  demandHealth(picture, 'adding a member')
  const plan = await planOf(directory, picture, asked)
  const { token } = directory.plan()
  saveMember(directory, plan.name, issueMember(authorityOf(directory), { token, ...plan }, work))
  await joinAs(work, plan)
  return plan.name
}

/** The member's certificates lie in the directory. It is registered, started by whoever runs the directory, and given its vote. */
export async function joinAs(work: Rolling, plan: MemberPlan): Promise<void> {
  const { directory, doors, progress } = work
  const picture = await doors.look()
  demandHealth(picture, 'adding a member')
  const peerUrl = peerUrlOf(plan)
  const id = await register(work, { name: plan.name, peerUrl })
  try {
    const others = picture.members.map(({ name, peerUrl: url }) => ({ name, peerUrl: url }))
    const initialCluster = initialClusterOf([...others, { name: plan.name, peerUrl }])
    const started = { ...plan, start: { state: 'existing' as const, initialCluster } }
    directory.change(cluster => ({ ...cluster, members: [...cluster.members, started] }))
    progress.say(`${plan.name} joins at ${clientUrlOf(plan)}, learning`)
    await promote(work, id, plan.name)
    progress.say(`${plan.name} has caught up and has its vote`)
  } catch (error) {
    progress.say(`${plan.name} is taken back: ${messageOf(error)}`)
    await takeBack(work, { id, name: plan.name })
    throw error
  }
}

/** Never rejects: why it is taken back matters more. What may still be a member keeps its data, and its place in the plan. */
async function takeBack(work: Rolling, { id, name }: { id: bigint; name: string }): Promise<void> {
  const { directory, progress } = work
  try {
    // Also when it was asked to stop: what was begun is not left lying about.
    await unregister({ ...work, signal: new AbortController().signal }, id)
    dropPlan(directory, name)
    directory.forget(name)
  } catch (error) {
    const advice = `Left alone it gets its vote when it has caught up; \`holdfast cluster remove ${name}\` takes it out.`
    progress.say(`${name} could not be taken back, and may still be a member: ${messageOf(error)} ${advice}`)
  }
}

/** @throws ClusterFailure when what is left could not decide. */
export async function removeMember(work: Rolling, name: string): Promise<void> {
  const { directory, doors, progress } = work
  const picture = await doors.look()
  if (directory.isRemoved(name) && picture.members.every(member => member.name !== name)) {
    await forgetHere(work, name)
    return progress.say(`${name} had been removed before; what was left of it here is gone too`)
  }
  const member = findMember(picture, name)
  demandQuorumWithout(picture, member)
  if (!picture.leader) throw new ClusterFailure(`Not removing ${name} while the cluster has no leader.`)
  await moveLeaderFrom(work, member.id)
  await unregister(work, member.id)
  await waitFor(work, { what: `${name} goes`, timeoutMs: GONE_MS_MAX }, async () => {
    const { members } = await doors.look()
    return members.every(({ id }) => id !== member.id) ? true : null
  })
  if (member.isLocal) await forgetHere(work, name)
  progress.say(`${name} has been removed`)
}

/** Its data are worth nothing: etcd never lets it back in. */
async function forgetHere(work: Rolling, name: string): Promise<void> {
  const { directory } = work
  dropPlan(directory, name)
  await waitFor(work, { what: `${name} stops`, timeoutMs: GONE_MS_MAX }, async () =>
    runningIn(directory)?.members.some(one => one.name === name) ? null : true,
  )
  directory.forget(name)
}

/** A new member in the place of an old one, which may be dead. Returns the new one's name. */
export async function replaceMember(work: Rolling & Surroundings, name: string, asked: NewMember): Promise<string> {
  const picture = await work.doors.look()
  const old = findMember(picture, name)
  // Never the old one's: whoever reads logs would take the one for the other.
  const taken = [...work.directory.plan().members, ...picture.members].map(member => member.name)
  const named = { ...asked, name: asked.name ?? freeName(taken) }
  // While one is dead etcd takes no new member: then the old one goes first. Else no member is missed for a moment.
  if (old.trouble !== null) {
    await removeMember(work, name)
    return addMember(work, named)
  }
  const added = await addMember(work, named)
  await removeMember(work, name)
  return added
}

export function findMember({ members }: Picture, name: string): MemberPicture {
  const found = members.find(member => member.name === name || member.id.toString(16) === name)
  if (found) return found
  throw new ClusterFailure(`There is no member ${name}; there are ${members.map(member => member.name).join(', ')}.`)
}

async function planOf(directory: ClusterDirectory, picture: Picture, asked: NewMember): Promise<MemberPlan> {
  const { members } = directory.plan()
  const taken = [...members, ...picture.members].map(({ name }) => name)
  const name = asked.name ?? freeName(taken)
  checkName(name)
  if (taken.includes(name)) throw new ClusterFailure(`There is a member ${name} already.`)
  const host = asked.host ?? members[0]?.host ?? '127.0.0.1'
  const etcd = findEtcd(asked.etcd ?? members[0]?.etcd).path
  const ports = new Ports(
    asked.port,
    members.flatMap(({ clientPort, peerPort }) => [clientPort, peerPort]),
  )
  const [clientPort, peerPort] = [await ports.next(host), await ports.next(host)]
  return { name, host, clientPort, peerPort, etcd, generation: 1, start: { state: 'existing', initialCluster: '' } }
}

/** Returns its id. One without a name has been registered and not started: by us, the last time. @throws ClusterFailure when another one has the address */
async function register(work: Rolling, { name, peerUrl }: { name: string; peerUrl: string }): Promise<bigint> {
  return reconfigure(work, `registering ${peerUrl}`, async picture => {
    const found = picture.members.find(member => member.peerUrl === peerUrl)
    if (found && found.name !== '' && found.name !== name) {
      throw new ClusterFailure(
        `${found.name} is a member already and is reached at ${peerUrl}: ${name} needs an address or a port of its own. Nothing has been changed.`,
      )
    }
    if (found) return found.id
    if (picture.leader) await work.doors.calls(picture.leader).memberAdd({ peerUrls: [peerUrl], isLearner: true })
    return null
  })
}

/**
 * Changes who is a member, once: whether a request that failed was carried out is seen in the list. etcd refuses until all members have seen
 * each other for five seconds without a break, so it is asked again for a while.
 */
function reconfigure<Found>(
  work: Rolling,
  what: string,
  act: (picture: Picture) => Promise<Found | null>,
): Promise<Found> {
  return waitFor(work, { what, timeoutMs: RECONFIGURED_MS_MAX }, async () => act(await work.doors.look()))
}

async function promote(work: Rolling, id: bigint, name: string): Promise<void> {
  const { doors } = work
  await waitFor(work, { what: `${name} starts`, timeoutMs: STARTED_MS_MAX }, async () => {
    const { members } = await doors.look()
    return members.find(member => member.id === id)?.status ? true : null
  })
  await waitFor(work, { what: `${name} learns`, timeoutMs: CAUGHT_UP_MS_MAX }, async () => {
    const picture = await doors.look()
    const member = picture.members.find(one => one.id === id)
    if (!member) throw new ClusterFailure(`${name} has been removed by somebody else.`)
    if (!member.isLearner) return member.trouble === null ? true : null
    // The leader refuses as long as it has not caught up; that is what is waited for.
    if (picture.leader && member.trouble === null) await doors.calls(picture.leader).memberPromote(id)
    return null
  })
}

async function unregister(work: Rolling, id: bigint): Promise<void> {
  await reconfigure(work, 'removing it from the list', async ({ members }) => {
    if (!members.some(member => member.id === id)) return true
    const other = members.find(member => member.id !== id && member.trouble === null && !member.isLearner)
    if (!other) throw new ClusterFailure('No other member is well enough to be asked.')
    await work.doors.calls(other).memberRemove(id)
    return null
  })
}

function dropPlan(directory: ClusterDirectory, name: string): void {
  directory.change(cluster => ({ ...cluster, members: cluster.members.filter(member => member.name !== name) }))
}
