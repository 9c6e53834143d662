/** `holdfast cluster status`: everything that one wants to know at a glance, as data. */
import type { Clock } from '../clock.ts'
import { judgeVersion } from '../engine/etcd/version.ts'
import { systemRandom } from '../random.ts'
import { type BackupRecord, backupProblem, backupRecord } from './backup-record.ts'
import type { ClusterDirectory } from './directory.ts'
import { messageOf } from './failure.ts'
import { type Alarm, Doors, type Picture, quorumOf, voters } from './picture.ts'
import { runningIn } from './running.ts'
import { type ServiceProblem, serviceProblems } from './service.ts'
import { openRecords, openStore, readStore, type StorePicture } from './store.ts'
import { type CertificateStatus, certificatesOf } from './validity.ts'

export type MemberStatus = {
  name: string
  id: string
  url: string | null
  role: 'leader' | 'follower' | 'learner'
  isLocal: boolean
  /** null: it can be counted on. */
  trouble: string | null
  version: string | null
  dbBytes: number | null
  dbLiveBytes: number | null
  raftIndex: number | null
  lag: number | null
}

export type ClusterStatus = {
  path: string
  clusterId: string
  token: string
  /** The members are, and there is no problem with the servers. A cluster that no server has used yet may have none. */
  isHealthy: boolean
  /** Every member can be counted on, somebody leads, and there is no alarm. */
  hasHealthyMembers: boolean
  hasQuorum: boolean
  /** How many members may still be lost before the service stops. */
  spareMembers: number
  quotaBytes: number
  revision: number
  leader: string | null
  members: MemberStatus[]
  alarms: Alarm[]
  warnings: string[]
  /** null: no server has used the store yet, or it cannot be read; then `storeTrouble` says why. */
  store: StorePicture | null
  storeTrouble: string | null
  /** What is wrong with the servers, and what to do. */
  problems: ServiceProblem[]
  certificates: CertificateStatus[]
  /** Those made from this machine. */
  backup: BackupRecord
  /** The process of `cluster up` on this machine. */
  runner: { pid: number; restarts: number } | null
}

/** @throws ClusterFailure when no member answers. */
export async function statusOf(directory: ClusterDirectory, clock: Clock): Promise<ClusterStatus> {
  const plan = directory.plan()
  const doors = new Doors(directory, clock)
  try {
    const picture = await doors.look()
    const members = picture.members.map(memberStatusOf)
    const alive = voters(picture).filter(({ trouble }) => trouble === null).length
    const quorum = quorumOf(voters(picture).length)
    const versions = new Set(members.flatMap(({ version }) => (version === null ? [] : [version])))
    const running = runningIn(directory)
    const hasHealthyMembers =
      members.every(({ trouble }) => trouble === null) && picture.leader !== null && picture.alarms.length === 0
    const found = await storeStatus(directory, picture, clock)
    const backup = backupRecord(directory)
    const late = backupProblem(backup, clock.wallMs())
    const problems = [...problemsOf(found, members), ...(late ? [late] : [])]
    return {
      path: directory.path,
      clusterId: picture.clusterId.toString(16),
      token: plan.token,
      isHealthy: hasHealthyMembers && problems.length === 0,
      hasHealthyMembers,
      hasQuorum: alive >= quorum && picture.leader !== null,
      spareMembers: Math.max(0, alive - quorum),
      quotaBytes: quotaOf(picture, plan.quotaBytes),
      revision: Math.max(0, ...picture.members.map(({ status }) => status?.header?.revision ?? 0)),
      leader: picture.leader?.name ?? null,
      members,
      alarms: picture.alarms,
      warnings: [...versions].flatMap(version => judgeVersion(version).warnings),
      ...found,
      problems,
      certificates: certificatesOf(directory, clock),
      backup,
      runner: running && {
        pid: running.process.pid,
        restarts: running.members.reduce((sum, { restarts }) => sum + restarts, 0),
      },
    }
  } finally {
    doors.close()
  }
}

function memberStatusOf(member: Picture['members'][number]): MemberStatus {
  const { name, id, url, isLearner, isLeader, isLocal, trouble, status, lag } = member
  return {
    name,
    id: id.toString(16),
    url,
    role: isLearner ? 'learner' : isLeader ? 'leader' : 'follower',
    isLocal,
    trouble,
    version: status?.version ?? null,
    dbBytes: status?.dbSize ?? null,
    dbLiveBytes: status?.dbSizeInUse ?? null,
    raftIndex: status ? Number(status.raftIndex) : null,
    lag: status ? lag : null,
  }
}

type Found = Pick<ClusterStatus, 'store' | 'storeTrouble'>

/** What cannot be read is not known to be well. */
export function problemsOf(
  { store, storeTrouble }: Found,
  members: readonly { url: string | null }[],
): ServiceProblem[] {
  if (storeTrouble !== null) {
    const change = 'Bring the members back first; of an encrypted store, name the key as for the servers.'
    return [{ what: `the records of the servers cannot be read: ${storeTrouble}`, change }]
  }
  const urls = members.flatMap(({ url }) => (url === null ? [] : [url]))
  return store ? serviceProblems(store, urls) : []
}

/** Members say theirs since 3.6. */
export function quotaOf({ members }: Picture, planned: number): number {
  const told = members.flatMap(({ status }) => (status && status.dbSizeQuota > 0 ? [status.dbSizeQuota] : []))
  return told.length > 0 ? Math.min(...told) : planned
}

async function storeStatus(directory: ClusterDirectory, picture: Picture, clock: Clock): Promise<Found> {
  if (!picture.leader) return { store: null, storeTrouble: 'no member leads' }
  try {
    const { root } = directory.plan()
    const store = await openStore(directory, picture, clock)
    // Nothing is written, so nothing is drawn.
    const engine = await openRecords(store, { directory, root, clock, random: systemRandom })
    try {
      return { store: await readStore(engine, { root, clock }), storeTrouble: null }
    } finally {
      await engine.close()
    }
  } catch (error) {
    // That the members can be shown is worth more than that all can be shown.
    return { store: null, storeTrouble: messageOf(error) }
  }
}
