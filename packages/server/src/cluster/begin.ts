/** A cluster that is new: its directory, its authority, and the plan of its first members. */
import { createServer } from 'node:net'
import { randomHex } from '../random.ts'
import {
  type ClusterDirectory,
  checkName,
  freeName,
  initialClusterOf,
  type MemberPlan,
  peerUrlOf,
  QUOTA_BYTES_DEFAULT,
  ROOT_DEFAULT,
} from './directory.ts'
import { ClusterFailure } from './failure.ts'
import { makeDirectory, writeWhole } from './files.ts'
import type { Surroundings } from './identities.ts'
import { createAuthority, issueClient, issueMember, saveAuthority, saveMember } from './identities.ts'

export type Beginning = Surroundings & {
  directory: ClusterDirectory
  /** How many run on this machine. */
  count: number
  /** Of the first; the others are called m2, m3 … */
  name?: string
  host: string
  /** Of the first member's clients, and refused when it is taken; the others are the next that are free. Absent: all are. */
  port?: number
  etcd: string
  quotaBytes?: number
  root?: string
  /** For a restore: what tells this cluster from the one that was. */
  token?: string
}

/** What etcd is known by. */
export const CLIENT_PORT = 2379
const MEMBERS_MAX = 7

export async function beginCluster(options: Beginning): Promise<void> {
  const { directory, count, clock, random, quotaBytes = QUOTA_BYTES_DEFAULT, root = ROOT_DEFAULT } = options
  if (directory.exists) throw new ClusterFailure(`There is a cluster in ${directory.path} already.`)
  if (!Number.isInteger(count) || count < 1 || count > MEMBERS_MAX) {
    throw new ClusterFailure(`A cluster has 1 to ${MEMBERS_MAX} members, and three or five do best; not ${count}.`)
  }
  const token = options.token ?? newToken(options)
  const members = await firstMembers(options)
  const authority = createAuthority(token, { clock, random })
  makeDirectory(directory.path)
  saveAuthority(directory, authority)
  writeWhole(directory.caFile, authority.certificate)
  writeWhole(directory.clientFile, issueClient(authority, token, { clock, random }))
  for (const { name, host } of members) {
    saveMember(directory, name, issueMember(authority, { token, name, host }, { clock, random }))
  }
  // Last: where this file is, there is a cluster.
  directory.create({ token, quotaBytes, root, members })
}

export function newToken({ random }: Surroundings): string {
  return `holdfast-${randomHex(random, 6)}`
}

async function firstMembers({ count, name, host, port, etcd }: Beginning): Promise<MemberPlan[]> {
  const names: string[] = []
  for (let index = 0; index < count; index++) names.push(index === 0 && name ? name : freeName(names))
  const ports = new Ports(port)
  const members: MemberPlan[] = []
  for (const member of names) {
    checkName(member)
    const [clientPort, peerPort] = [await ports.next(host), await ports.next(host)]
    const start = { state: 'new' as const, initialCluster: '' }
    members.push({ name: member, host, clientPort, peerPort, etcd, generation: 1, start })
  }
  const initialCluster = initialClusterOf(members.map(plan => ({ name: plan.name, peerUrl: peerUrlOf(plan) })))
  return members.map(plan => ({ ...plan, start: { ...plan.start, initialCluster } }))
}

/** One after another from a first one on, without those that somebody listens on or that are spoken for. */
export class Ports {
  #next: number
  readonly #isAny: boolean
  /** Asked for by its number; null: it is not, or has been given. */
  #asked: number | null
  readonly #given: Set<number>

  /** 0: whichever are free. */
  constructor(first: number | undefined, given: readonly number[] = []) {
    this.#next = first ?? CLIENT_PORT
    this.#isAny = first === 0
    this.#asked = first || null
    this.#given = new Set(given)
  }

  /** @throws ClusterFailure when the one that was asked for is taken. */
  async next(host: string): Promise<number> {
    for (;;) {
      const port = await freePort(this.#isAny ? 0 : this.#next++, host)
      if (port === null || this.#given.has(port)) {
        if (this.#asked === null) continue
        throw new ClusterFailure(`Port ${this.#asked} of ${host} is taken: name another one by --port.`)
      }
      this.#asked = null
      this.#given.add(port)
      return port
    }
  }
}

/** null: somebody else has it. */
async function freePort(port: number, host: string): Promise<number | null> {
  if (port > 65_535) throw new ClusterFailure('There is no free port left.')
  const server = createServer()
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ port, host, exclusive: true }, resolve)
    })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return null
    throw new ClusterFailure(
      `This machine cannot listen on ${host}: ${error instanceof Error ? error.message : error}.`,
    )
  }
  const address = server.address()
  await new Promise(resolve => server.close(resolve))
  return address === null || typeof address === 'string' ? null : address.port
}
