/** Who is who in a cluster of its own: the authority, and the certificates of members and clients in its directory. */
import { dirname } from 'node:path'
import type { Clock } from '../clock.ts'
import type { Random } from '../random.ts'
import { randomHex } from '../random.ts'
import { Authority } from './certificates.ts'
import type { ClusterDirectory } from './directory.ts'
import { ClusterFailure } from './failure.ts'
import { makeDirectory, readText, writeWhole } from './files.ts'

export type Surroundings = { clock: Clock; random: Random }

/** By these every member can be reached from its own machine. */
const LOOPBACK = ['127.0.0.1', '::1', 'localhost']

export function createAuthority(token: string, surroundings: Surroundings): Authority {
  // Two authorities of one cluster live side by side while one takes the place of the other: their names tell them apart.
  return Authority.create(`${token} authority ${randomHex(surroundings.random, 4)}`, surroundings)
}

/** The one whose signatures all others believe. */
export function saveAuthority(directory: ClusterDirectory, authority: Authority): void {
  makeDirectory(dirname(directory.authorityFile))
  writeWhole(directory.authorityFile, authority.pem)
}

/** @throws ClusterFailure on a machine that did not begin the cluster. */
export function authorityOf(directory: ClusterDirectory): Authority {
  const authority = authorityIfHere(directory)
  if (authority) return authority
  throw new ClusterFailure(
    `The authority of this cluster does not lie in ${directory.path}: do this on the machine where the cluster was begun.`,
  )
}

export function authorityIfHere(directory: ClusterDirectory): Authority | null {
  const pem = readText(directory.authorityFile)
  return pem === null ? null : Authority.from(pem)
}

/**
 * All that an authority signs is good since the authority is. A machine whose clock is ahead may renew what it shows: else the others would not believe
 * that yet, nor would the machine itself once its clock is right again.
 */
const since = ({ validFrom }: Authority) => ({ since: validFrom })

export type MemberFiles = { server: string; peer: string }

export function issueMember(
  authority: Authority,
  { token, name, host }: { token: string; name: string; host: string },
  surroundings: Surroundings,
): MemberFiles {
  const hosts = [...new Set([host, ...LOOPBACK])]
  const issue = (role: string) =>
    authority.issue({ name: `${token} ${role} ${name}`, purpose: 'server', hosts, ...since(authority) }, surroundings)
  return { server: issue('server'), peer: issue('peer') }
}

export function saveMember(directory: ClusterDirectory, name: string, { server, peer }: MemberFiles): void {
  makeDirectory(directory.member(name))
  writeWhole(directory.file(name, 'server.pem'), server)
  writeWhole(directory.file(name, 'peer.pem'), peer)
}

export function issueClient(authority: Authority, token: string, surroundings: Surroundings): string {
  return authority.issue({ name: `${token} holdfast`, purpose: 'client', hosts: [], ...since(authority) }, surroundings)
}
