/**
 * `holdfast doctor`: what is measured here and now, compared with what the settings presume. Each finding says what to change. Nothing is
 * changed, but for a key that is deleted although it is never there, and a file of a few bytes.
 */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { TTL_MS_DEFAULT } from '@holdfast/protocol/limits'
import type { Clock } from '../clock.ts'
import type { Engine } from '../engine/engine.ts'
import { judgeVersion } from '../engine/etcd/version.ts'
import { BEAT_MS, MEMBER_TTL_MS } from '../shards/membership.ts'
import type { ClusterDirectory } from './directory.ts'
import { ClusterUnreachable, messageOf } from './failure.ts'
import { makeFolder, remove } from './files.ts'
import { type Finding, notice, ok, problem } from './finding.ts'
import { type MemberSyncs, syncsOfMembers } from './member-syncs.ts'
import { Doors, type Picture } from './picture.ts'
import type { ServerSeen } from './servers-seen.ts'
import { type ClusterStatus, statusOf } from './status.ts'
import { openStore } from './store.ts'
import { certificatesOf } from './validity.ts'

const COMMITS = 20
const SYNCS = 20
/** Half a beat: with slower commits beats pile up, and a slow spell looks like a death. */
export const COMMIT_MS_MAX = BEAT_MS / 2
/** Of etcd's own advice for its log; slower disks make elections. */
export const SYNC_MS_MAX = 25
/** The same among the bounds by which etcd counts. */
export const MEMBER_SYNC_MS_MAX = 32
const SLOW_MEMBER = `A disk of its own, an SSD: etcd wants less than ${SYNC_MS_MAX} ms.`
const SLOW_STORE = 'A disk of its own, an SSD: every grant waits for a sync of it.'
/** Of the quota: where the servers begin to defragment, and where acquires are refused. */
const SPACE_SHARE = 0.7
const FULL_SHARE = 0.85
/** Of a TTL that must be left for a change of owner, so that its holder does not stop believing meanwhile (SAFETY section 6). */
const BELIEF_SHARE = 0.48
/** The death, the takeover, and pages of the log. */
const COMMITS_OF_A_TAKEOVER = 10
/** Of a member's syncs, how many may be slower. */
const SLOW_SYNCS_SHARE = 0.01
/** What a member has counted of fewer says little. */
const SYNCS_LEAST = 100

/** Of the cluster in a directory, and whether it is quick enough for whom the servers have. @throws ClusterFailure when there is no cluster. */
export async function examineCluster(
  directory: ClusterDirectory,
  clock: Clock,
  servers: readonly ServerSeen[],
): Promise<Finding[]> {
  const status = await statusOf(directory, clock).catch((error: unknown) => {
    if (error instanceof ClusterUnreachable) return null
    throw error
  })
  if (!status) {
    const change = `holdfast cluster up --data ${directory.path} on each of its machines; members/NAME/etcd.log says why one does not start.`
    return [
      problem('no member of the cluster answers', change),
      ...certificateFindings(certificatesOf(directory, clock)),
    ]
  }
  const findings = [
    ...membersOf(status),
    ...versionsOf(status),
    ...spaceOf(status),
    ...certificateFindings(status.certificates),
  ]
  findings.push(...serversOf(status), ...backupsOf(status))
  // What nobody can decide takes for ever.
  if (status.hasQuorum) findings.push(...(await commitsOf(directory, clock, servers)))
  if (status.members.some(({ isLocal }) => isLocal)) findings.push(syncsOf(directory.path, clock, SLOW_MEMBER))
  findings.push(...(await syncsOfMembers(directory, status.members)).map(judgeMemberSyncs))
  return findings
}

function membersOf({ members, spareMembers, hasHealthyMembers, hasQuorum, alarms }: ClusterStatus): Finding[] {
  const count = members.filter(({ role }) => role !== 'learner').length
  const findings: Finding[] = []
  if (!hasQuorum)
    findings.push(problem('the cluster has no quorum', 'Start the members that are missing: holdfast cluster up.'))
  else if (!hasHealthyMembers)
    findings.push(
      problem(
        `not all of the ${count} members are well`,
        'See holdfast cluster status; replace one that does not come back.',
      ),
    )
  else findings.push(ok(`${count} members, all well; ${spareMembers} may fail`))
  for (const { member, alarm } of alarms) {
    const change =
      alarm === 'NOSPACE'
        ? 'holdfast cluster compact, then holdfast cluster defrag.'
        : `holdfast cluster replace ${member}.`
    findings.push(problem(`alarm ${alarm} of ${member}`, change))
  }
  if (count % 2 === 0)
    findings.push(
      problem(
        `${count} members are an even number: no more may fail than with ${count - 1}`,
        'Add one, or remove one: three or five.',
      ),
    )
  if (count === 1)
    findings.push(notice('one member alone: the service stops with it', 'Three members on three machines.'))
  const hosts = new Set(members.map(({ url }) => (url === null ? '' : new URL(url).hostname)))
  if (count > 1 && hosts.size === 1)
    findings.push(
      notice(
        'all members run on one machine: all are lost with it',
        'For more than a trial, three machines: holdfast cluster init, invite, join.',
      ),
    )
  return findings
}

function versionsOf({ members }: ClusterStatus): Finding[] {
  const versions = [...new Set(members.flatMap(({ version }) => (version === null ? [] : [version])))]
  const findings = versions.flatMap(version => {
    const { refusal, warnings } = judgeVersion(version)
    if (refusal) return [problem(refusal, 'Upgrade etcd: holdfast cluster upgrade.')]
    return warnings.map(warning => notice(warning, 'holdfast cluster upgrade ETCD, with a newer program.'))
  })
  if (versions.length > 1)
    findings.push(
      notice(`members run different versions: ${versions.join(', ')}`, 'Finish the upgrade: holdfast cluster upgrade.'),
    )
  return findings.length > 0 ? findings : [ok(`etcd ${versions.join(', ')}`)]
}

function spaceOf({ members, quotaBytes }: ClusterStatus): Finding[] {
  const used = Math.max(0, ...members.map(({ dbBytes }) => dbBytes ?? 0))
  const live = Math.max(0, ...members.map(({ dbLiveBytes }) => dbLiveBytes ?? 0))
  const percent = `${Math.round((used / quotaBytes) * 100)} % of its quota`
  if (live > FULL_SHARE * quotaBytes)
    return [
      problem(`the database is full of what is needed (${percent})`, 'A larger quota: holdfast cluster quota SIZE.'),
    ]
  if (used > SPACE_SHARE * quotaBytes)
    return [
      problem(
        `the database has ${percent}`,
        'holdfast cluster compact, then holdfast cluster defrag; servers do it by themselves while they run.',
      ),
    ]
  return [ok(`the database has ${percent}`)]
}

function certificateFindings(certificates: ClusterStatus['certificates']): Finding[] {
  const problems = certificates.flatMap(certificate => certificate.problem ?? [])
  if (problems.length === 0) return [ok('no certificate ends soon')]
  return problems.map(({ what, change }) => problem(what, change))
}

/** Of Holdfast's own servers. */
export function serversOf({ store, problems }: Pick<ClusterStatus, 'store' | 'problems'>): Finding[] {
  const findings = problems.map(({ what, change }) => problem(what, change))
  if (!store) {
    if (findings.length > 0) return findings
    const change = 'Start some: the line is what holdfast cluster up prints.'
    return [notice('no Holdfast server has used this cluster yet', change)]
  }
  const alive = store.servers.filter(({ isBeating }) => isBeating).length
  if (findings.length === 0) findings.push(ok(`${alive} servers own all ${store.shards.length} shards`))
  if (alive === 1)
    findings.push(notice('one Holdfast server alone: the service pauses when it stops', 'Start a second one.'))
  return findings
}

function backupsOf({ backup: { last } }: ClusterStatus): Finding[] {
  if (last) return [ok(`the last backup is of ${new Date(last.at).toISOString()}`)]
  const change = 'holdfast cluster backup; or holdfast cluster up --every 6h, which makes them by itself.'
  return [notice('no backup has been made from this machine', change)]
}

/** A commit that changes nothing, through all members: what every lock operation waits for. */
async function commitsOf(
  directory: ClusterDirectory,
  clock: Clock,
  servers: readonly ServerSeen[],
): Promise<Finding[]> {
  try {
    const taken = await timeCommits(directory, clock)
    return [judgeCommits(taken), ...servers.flatMap(server => ttlsOf(server, leastTtlMs(taken)))]
  } catch (error) {
    return [problem(`commits could not be timed: ${messageOf(error)}`, 'See holdfast cluster status.')]
  }
}

/** From the fastest to the slowest; the slowest of all says more of this machine's mood than of the cluster. */
const slowOf = (taken: readonly number[]) => taken.at(-2) ?? 0

/** Whose TTL is as long does not lose its locks by the death of a server. */
export function leastTtlMs(taken: readonly number[]): number {
  return Math.ceil((MEMBER_TTL_MS + COMMITS_OF_A_TAKEOVER * slowOf(taken)) / BELIEF_SHARE / 100) * 100
}

export function judgeCommits(taken: readonly number[]): Finding {
  const slow = slowOf(taken)
  const median = taken[Math.floor(taken.length / 2)] ?? 0
  const what = `a commit takes ${median.toFixed(1)} ms, ${slow.toFixed(1)} ms at worst; holders with a TTL of ${leastTtlMs(taken)} ms or more keep their locks when a server dies (the library's TTL is ${TTL_MS_DEFAULT} ms)`
  if (slow <= COMMIT_MS_MAX) return ok(what)
  return problem(
    what,
    `Faster disks, or members nearer to each other: above ${COMMIT_MS_MAX} ms servers are taken for dead.`,
  )
}

/** TTLs that are in use, against what was measured. A grant of /v1 that nobody renews has one that is as short as it should be: so it is no problem. */
export function ttlsOf({ url, ttls }: ServerSeen, leastMs: number): Finding[] {
  const sessions = ttls.at(-1)?.count ?? 0
  if (sessions === 0) return []
  const short = ttls.filter(({ le }) => le * 1_000 < leastMs).at(-1)
  if (!short || short.count === 0)
    return [ok(`${url}: no session was opened with a TTL that the death of a server outlasts`)]
  const what = `${url}: of ${sessions} sessions opened since it started ${short.count} have a TTL of ${short.le} s or less, and are lost when a server dies`
  return [
    notice(what, `Where they are renewed, ask for ${leastMs} ms or more: ttlMs in the library, --ttl of holdfast run.`),
  ]
}

async function timeCommits(directory: ClusterDirectory, clock: Clock): Promise<number[]> {
  const doors = new Doors(directory, clock)
  let engine: Engine | null = null
  try {
    const picture: Picture = await doors.look()
    engine = await openStore(directory, picture, clock)
    const key = `${directory.plan().root}/doctor`
    const taken: number[] = []
    for (let count = 0; count < COMMITS; count++) {
      const beganMs = clock.hrtimeMs()
      await engine.commit({ checks: [{ key, modRevision: 0 }], writes: [{ key, delete: true }] })
      taken.push(clock.hrtimeMs() - beganMs)
    }
    return taken.sort((one, other) => one - other)
  } finally {
    doors.close()
    await engine?.close()
  }
}

/** Of a server whose store is embedded: the disk of its data folder. Whoever may not write there is told so. */
export function examineDisk(dataFolder: string, clock: Clock): Finding {
  try {
    return syncsOf(dataFolder, clock, SLOW_STORE)
  } catch (error) {
    const what = `the disk of ${dataFolder} was not timed: ${messageOf(error)}`
    return notice(what, 'Run it as the user that the server runs as.')
  }
}

/** The disk that the directory lies on. `change`: what to do if it is slow. */
export function syncsOf(folder: string, clock: Clock, change: string): Finding {
  const path = join(folder, `doctor-${process.pid}`)
  makeFolder(folder)
  const file = openSync(path, 'w', 0o600)
  try {
    const taken: number[] = []
    for (let count = 0; count < SYNCS; count++) {
      const beganMs = clock.hrtimeMs()
      writeSync(file, Buffer.alloc(4_096))
      fsyncSync(file)
      taken.push(clock.hrtimeMs() - beganMs)
    }
    taken.sort((one, other) => one - other)
    const slow = taken.at(-2) ?? 0
    const what = `the disk of ${folder} syncs in ${(taken[SYNCS / 2] ?? 0).toFixed(1)} ms, ${slow.toFixed(1)} ms at worst`
    if (slow <= SYNC_MS_MAX) return ok(what)
    return problem(what, change)
  } finally {
    closeSync(file)
    remove(path)
  }
}

/** As the member itself has counted them since it started. */
export function judgeMemberSyncs(syncs: MemberSyncs): Finding {
  const { member } = syncs
  if ('failure' in syncs)
    return notice(
      `${member} does not say how long its disk takes to sync: ${syncs.failure}`,
      'See holdfast cluster status.',
    )
  const count = syncs.buckets.at(-1)?.count ?? 0
  if (count === 0)
    return problem(
      `${member} has synced nothing since it started`,
      'Start it without --unsafe-no-fsync: what it has acknowledged is lost with the power.',
    )
  if (count < SYNCS_LEAST)
    return ok(`${member} has synced ${count} times since it started: too few to judge its disk by`)
  const within =
    syncs.buckets.find(bucket => bucket.count >= (1 - SLOW_SYNCS_SHARE) * count)?.le ?? Number.POSITIVE_INFINITY
  const most = `${Math.round(SLOW_SYNCS_SHARE * 100)} in a hundred`
  if (Number.isFinite(within) && within * 1_000 <= MEMBER_SYNC_MS_MAX)
    return ok(`${member} has synced ${count} times since it started, all but ${most} within ${within * 1_000} ms`)
  const over = syncs.buckets.filter(bucket => bucket.le * 1_000 <= MEMBER_SYNC_MS_MAX).at(-1)
  const slow = count - (over?.count ?? 0)
  return problem(
    `${member} has synced ${count} times since it started, ${slow} of them slower than ${(over?.le ?? 0) * 1_000} ms`,
    'A disk of its own, an SSD: slow syncs make elections, and every commit waits for a majority of them.',
  )
}
