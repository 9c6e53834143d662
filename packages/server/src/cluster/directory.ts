/**
 * What a machine knows of the cluster that it helps to run: one directory, open to nobody else.
 *
 *     cluster.json          the plan: which members run here, with which program, and how often they were told to start anew
 *     known.json            where members elsewhere were seen last
 *     running.json          which process runs the plan, and its children: written by `cluster up` alone
 *     holder.lock           held by that process for as long as it lives; holder.json says which it is
 *     ca.pem                the authorities that are believed; two while one takes the place of the other
 *     client.pem            what Holdfast servers and these commands show to etcd: certificate and key
 *     authority/            the authority's own key: only on the machine that began the cluster
 *     members/NAME/         server.pem, peer.pem, etcd.log, data/
 *     started/NAME          this member has had data: it is never to begin without them
 *     removed/NAME          the others have taken it off their list: it is never to be started again
 *     backup.json           when a backup was made last, and how often one is to be made
 *     backups/
 *
 * Commands change the plan, and the process of `cluster up` carries it out: so a command that is killed halfway leaves a plan that stands, and
 * nothing listens anywhere that could be asked to do harm.
 */
import { dirname, join } from 'node:path'
import type { KeySourceConfig } from '../engine/sealed/key-source.ts'
import { ClusterFailure } from './failure.ts'
import { isThere, makeDirectory, parseJson, readText, remove, writeWhole } from './files.ts'

export type MemberPlan = {
  name: string
  /** By which the others reach it. */
  host: string
  clientPort: number
  peerPort: number
  /** The program that runs it. */
  etcd: string
  /** Raised by whoever wants it to be started anew. */
  generation: number
  /** What it is told when its data directory is empty. */
  start: { state: 'new' | 'existing'; initialCluster: string }
}

export type ClusterPlan = {
  format: number
  /** Tells this cluster from every other; etcd and the certificates carry it. */
  token: string
  quotaBytes: number
  /** What the keys of Holdfast's servers begin with in it. */
  root: string
  /** The members that this machine runs. */
  members: MemberPlan[]
}

const FORMAT = 1
/** Of `holdfast serve --root`. */
export const ROOT_DEFAULT = 'holdfast'
/** etcd's own default, and what it calls large is four times that. */
export const QUOTA_BYTES_DEFAULT = 2 * 1024 * 1024 * 1024

export class ClusterDirectory {
  readonly path: string
  /** Where the key is that Holdfast's servers encrypt their records with; null: it was not said. */
  readonly encryption: KeySourceConfig | null
  constructor(path: string, { encryption }: { encryption: KeySourceConfig | null } = { encryption: null }) {
    this.path = path
    this.encryption = encryption
  }

  get planFile(): string {
    return join(this.path, 'cluster.json')
  }
  get runningFile(): string {
    return join(this.path, 'running.json')
  }
  get operationFile(): string {
    return join(this.path, 'operation.json')
  }
  get operationLockFile(): string {
    return join(this.path, 'operation.lock')
  }
  get caFile(): string {
    return join(this.path, 'ca.pem')
  }
  get clientFile(): string {
    return join(this.path, 'client.pem')
  }
  get authorityFile(): string {
    return join(this.path, 'authority', 'authority.pem')
  }
  get backupFile(): string {
    return join(this.path, 'backup.json')
  }
  get backups(): string {
    return join(this.path, 'backups')
  }
  member(name: string): string {
    return join(this.path, 'members', name)
  }
  file(member: string, file: 'server.pem' | 'peer.pem' | 'etcd.log' | 'data'): string {
    return join(this.member(member), file)
  }

  get exists(): boolean {
    return isThere(this.planFile)
  }

  /** @throws ClusterFailure when there is none, or one of a newer Holdfast. */
  plan(): ClusterPlan {
    const text = readText(this.planFile)
    if (text === null) {
      throw new ClusterFailure(
        `There is no cluster in ${this.path}. Is a disk not mounted, or is its directory another one (--data)? \`holdfast cluster up --members 3\` makes a new one for trial, \`init\` and \`join\` make one of several machines.`,
      )
    }
    // Written by the code below; its format says by which.
    const plan = parseJson(text, this.planFile) as ClusterPlan
    if (plan.format !== FORMAT) throw new ClusterFailure(`${this.planFile} was written by another version of Holdfast.`)
    return plan
  }

  create(plan: Omit<ClusterPlan, 'format'>): void {
    makeDirectory(this.path)
    this.write({ format: FORMAT, ...plan })
  }

  write(plan: ClusterPlan): void {
    writeWhole(this.planFile, `${JSON.stringify(plan, null, 2)}\n`)
  }

  /** Reads the plan, changes it, and writes it. For whoever has the directory to itself (`operation.ts`). */
  change(edit: (plan: ClusterPlan) => ClusterPlan): ClusterPlan {
    const plan = edit(this.plan())
    this.write(plan)
    return plan
  }

  /** Where to ask first: what runs here, and what was seen elsewhere. */
  urls(): string[] {
    const known = readText(this.#knownFile)
    const others = known === null ? [] : parseJson(known, this.#knownFile).urls
    const own = this.plan().members.map(clientUrlOf)
    // Written by `remember`.
    return [...new Set([...own, ...((others ?? []) as string[])])]
  }

  remember(urls: readonly string[]): void {
    const text = `${JSON.stringify({ urls })}\n`
    if (readText(this.#knownFile) !== text) writeWhole(this.#knownFile, text)
  }

  forget(member: string): void {
    remove(this.member(member))
    remove(this.#startedFile(member))
    remove(this.#removedFile(member))
  }

  /** Whether there is anything in its data directory. */
  hasData(member: string): boolean {
    return isThere(join(this.file(member, 'data'), 'member'))
  }

  /** It has had data, and they are not there. */
  isMissingData(member: string): boolean {
    return isThere(this.#startedFile(member)) && !this.hasData(member)
  }

  noteStarted(member: string): void {
    if (isThere(this.#startedFile(member))) return
    makeDirectory(dirname(this.#startedFile(member)))
    writeWhole(this.#startedFile(member), '')
  }

  isRemoved(member: string): boolean {
    return isThere(this.#removedFile(member))
  }

  noteRemoved(member: string): void {
    makeDirectory(dirname(this.#removedFile(member)))
    writeWhole(this.#removedFile(member), '')
  }

  /** What a client of etcd needs to be let in. */
  get tls() {
    return { caFile: this.caFile, certificate: { certificateFile: this.clientFile, keyFile: this.clientFile } }
  }

  #startedFile(member: string): string {
    return join(this.path, 'started', member)
  }

  #removedFile(member: string): string {
    return join(this.path, 'removed', member)
  }

  get #knownFile(): string {
    return join(this.path, 'known.json')
  }
}

export function clientUrlOf({ host, clientPort }: MemberPlan): string {
  return `https://${bracketed(host)}:${clientPort}`
}

export function peerUrlOf({ host, peerPort }: MemberPlan): string {
  return `https://${bracketed(host)}:${peerPort}`
}

const bracketed = (host: string) => (host.includes(':') ? `[${host}]` : host)

/** As etcd wants it said at a first start. */
export function initialClusterOf(members: readonly { name: string; peerUrl: string }[]): string {
  return members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(',')
}

const NAME = /^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/

/** @throws ClusterFailure */
export function checkName(name: string): void {
  if (NAME.test(name)) return
  throw new ClusterFailure(`A member's name has 1 to 32 of a-z, 0-9 and dashes within, not ${JSON.stringify(name)}.`)
}

/** The first of m1, m2, … that none of them has. */
export function freeName(taken: readonly string[]): string {
  for (let number = 1; ; number++) if (!taken.includes(`m${number}`)) return `m${number}`
}
