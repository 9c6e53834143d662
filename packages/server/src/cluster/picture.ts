/** What a cluster's etcd members say of themselves and of each other, put beside each other. */
import type { Clock } from '../clock.ts'
import type { Calls, Member, Status } from '../engine/etcd/calls.ts'
import { EtcdClient } from '../engine/etcd/client.ts'
import { EtcdError } from '../engine/etcd/errors.ts'
import { alarmType } from '../engine/etcd/messages.ts'
import type { ClusterDirectory } from './directory.ts'
import { ClusterFailure, ClusterUnreachable, messageOf } from './failure.ts'
import { certificatesOf } from './validity.ts'

export type MemberPicture = {
  /** Empty until the member has been started for the first time. */
  name: string
  id: bigint
  url: string | null
  peerUrl: string
  isLearner: boolean
  isLeader: boolean
  /** Runs on this machine. */
  isLocal: boolean
  status: Status | null
  /** Why it cannot be counted on now; null: it can. */
  trouble: string | null
  /** Entries of etcd's log that it has not carried out yet. */
  lag: number
}

export type Alarm = { member: string; alarm: 'NOSPACE' | 'CORRUPT' }

export type Picture = {
  clusterId: bigint
  members: MemberPicture[]
  leader: MemberPicture | null
  alarms: Alarm[]
}

/** Entries; under load a healthy member is some behind at any moment. */
const LAG_MAX = 1_000
const LOOK_MS_MAX = 2_000
/** One that has not answered the last time is not waited for so long again. */
const SILENT_MS_MAX = 500

/** Connections to members, one each, for as long as one command or one look needs them. */
export class Doors {
  readonly directory: ClusterDirectory
  readonly #clock: Clock
  readonly #clients = new Map<string, EtcdClient>()
  /** Those that did not answer when they were asked last. */
  readonly #silent = new Set<string>()

  constructor(directory: ClusterDirectory, clock: Clock) {
    this.directory = directory
    this.#clock = clock
  }

  at(url: string): EtcdClient {
    const known = this.#clients.get(url)
    if (known) return known
    const client = new EtcdClient({ urls: [url], clock: this.#clock, tls: this.directory.tls })
    this.#clients.set(url, client)
    return client
  }

  close(): void {
    for (const client of this.#clients.values()) client.close()
    this.#clients.clear()
  }

  /** @throws ClusterUnreachable */
  async look(): Promise<Picture> {
    const listed = (await this.#members()).sort((one, other) => (one.name < other.name ? -1 : 1))
    const looks = await Promise.all(listed.map(member => this.#lookAt(member)))
    const answered = looks.filter(({ status }) => status !== null)
    const terms = answered.map(({ status }) => status!.raftTerm)
    const latest = answered.filter(({ status }) => status!.raftTerm === terms.reduce((a, b) => (a > b ? a : b), 0n))
    const leaderId = latest.map(({ status }) => status!.leader).find(id => id !== 0n) ?? null
    const newest = Math.max(0, ...answered.map(({ status }) => Number(status!.raftIndex)))
    const members = looks.map(look => judge(look, { leaderId, newest }))
    const alarms = await this.#alarms(members)
    this.directory.remember(members.flatMap(({ url }) => (url === null ? [] : [url])))
    const leader = members.find(({ isLeader }) => isLeader) ?? null
    return { clusterId: answered[0]?.status?.header?.clusterId ?? 0n, members, leader, alarms }
  }

  /** As all members agree; without a quorum, as the first that answers believes. */
  async #members(): Promise<Member[]> {
    const failures: unknown[] = []
    for (const isLinearizable of [true, false]) {
      const urls = this.directory.urls().sort((one, other) => this.#patience(other) - this.#patience(one))
      for (const url of urls) {
        try {
          return await this.at(url).memberList({ isLinearizable }, this.#patience(url))
        } catch (error) {
          failures.push(error)
        }
      }
    }
    const { path } = this.directory
    const untimely = certificatesOf(this.directory, this.#clock).find(({ isValid }) => !isValid)?.problem
    if (untimely) {
      throw new ClusterUnreachable(
        `No member of the cluster in ${path} lets us in: ${untimely.what}. ${untimely.change}`,
      )
    }
    throw new ClusterUnreachable(
      `No member of the cluster in ${path} answers; does \`holdfast cluster up --data ${path}\` run? (${messageOf(failures.at(-1))})`,
    )
  }

  async #lookAt(member: Member): Promise<MemberPicture> {
    const { id, name, clientURLs, peerURLs, isLearner } = member
    const url = clientURLs[0] ?? null
    const isLocal = this.directory.plan().members.some(plan => plan.name === name)
    const picture = { name, id, url, peerUrl: peerURLs[0] ?? '', isLearner, isLocal, isLeader: false, lag: 0 }
    if (url === null) return { ...picture, status: null, trouble: 'has not been started yet' }
    try {
      const status = await this.at(url).status(this.#patience(url))
      this.#silent.delete(url)
      return { ...picture, status, trouble: null }
    } catch (error) {
      this.#silent.add(url)
      return { ...picture, status: null, trouble: troubleOf(error) }
    }
  }

  #patience(url: string): number {
    return this.#silent.has(url) ? SILENT_MS_MAX : LOOK_MS_MAX
  }

  async #alarms(members: MemberPicture[]): Promise<Alarm[]> {
    // A learner answers only for itself.
    const asked = members.find(({ status, isLearner }) => status !== null && status.leader !== 0n && !isLearner)
    if (!asked?.url) return []
    const alarms = await this.at(asked.url).alarms(LOOK_MS_MAX)
    return alarms.map(({ memberID, alarm }) => ({
      member: members.find(({ id }) => id === memberID)?.name ?? memberID.toString(16),
      alarm: alarm === alarmType.CORRUPT ? 'CORRUPT' : 'NOSPACE',
    }))
  }

  /** Of a member that answers. */
  calls(member: MemberPicture): Calls {
    if (member.url === null) throw new ClusterFailure(`${member.name} has not been started yet.`)
    return this.at(member.url)
  }
}

const troubles: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED/, 'does not run: nothing listens at its address'],
  [/ENOTFOUND|EAI_AGAIN/, 'has a name that is not known here'],
  [/EHOSTUNREACH|ENETUNREACH/, 'cannot be reached from here'],
  [/certificate|\bCERT_/i, 'shows a certificate that is not believed here, or does not believe ours'],
]

/** What goes with its name, in words of people. What nobody has thought of is told as it came. */
export function troubleOf(error: unknown): string {
  if (error instanceof EtcdError && error.kind === 'timed_out') return 'does not answer'
  const text = messageOf(error)
  return troubles.find(([pattern]) => pattern.test(text))?.[1] ?? text
}

function judge(look: MemberPicture, { leaderId, newest }: { leaderId: bigint | null; newest: number }): MemberPicture {
  const { status, id } = look
  const isLeader = id === leaderId
  if (!status) return { ...look, isLeader }
  const lag = Math.max(0, newest - Number(status.raftAppliedIndex))
  // What it calls errors are alarms, which are looked at apart, and that there is no leader.
  const trouble = status.leader === 0n ? 'knows no leader' : lag > LAG_MAX ? `is ${lag} entries behind` : null
  return { ...look, isLeader, lag, trouble }
}

/** Members whose votes count. */
export function voters({ members }: Picture): MemberPicture[] {
  return members.filter(({ isLearner }) => !isLearner)
}

/** How many of `count` voters must agree. */
export function quorumOf(count: number): number {
  return Math.floor(count / 2) + 1
}

/** @throws ClusterFailure unless every member can be counted on and somebody leads. */
export function demandHealth(picture: Picture, purpose: string): void {
  const ill = picture.members.filter(({ trouble }) => trouble !== null)
  if (ill.length > 0) {
    const list = ill.map(({ name, id, trouble }) => `${name || id.toString(16)} ${trouble}`).join('; ')
    throw new ClusterFailure(`Not ${purpose} while a member cannot be counted on: ${list}.`)
  }
  if (!picture.leader) throw new ClusterFailure(`Not ${purpose} while the cluster has no leader.`)
  const corrupt = picture.alarms.find(({ alarm }) => alarm === 'CORRUPT')
  if (corrupt) {
    throw new ClusterFailure(
      `Not ${purpose}: the data of ${corrupt.member} differs from the others'. Replace that member first.`,
    )
  }
}
