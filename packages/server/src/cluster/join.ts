/**
 * Members on machines of their own. On the machine where the cluster was begun, `invite` writes a file with everything that one further member needs:
 * its certificates, the authorities to believe, and where the others are. Whoever has it can be that member, so it is for that machine's
 * eyes only; the authority's key is not in it. On the other machine `join` takes it.
 */
import { type ClusterDirectory, checkName, clientUrlOf, type MemberPlan } from './directory.ts'
import { ClusterFailure } from './failure.ts'
import { makeDirectory, objectIn, readText, writeWhole } from './files.ts'
import { authorityOf, issueClient, issueMember, type MemberFiles, type Surroundings, saveMember } from './identities.ts'
import type { Picture } from './picture.ts'

export type Invitation = {
  format: number
  token: string
  quotaBytes: number
  root: string
  name: string
  host: string
  clientPort: number
  peerPort: number
  /** Of the members that there are. */
  urls: string[]
  ca: string
  client: string
  files: MemberFiles
}

const FORMAT = 1

/** For a new member, or with new certificates for one that there is. */
export function invite(
  directory: ClusterDirectory,
  picture: Picture,
  asked: { name: string; host: string; clientPort: number; peerPort: number },
  surroundings: Surroundings,
): Invitation {
  checkName(asked.name)
  const authority = authorityOf(directory)
  const { token, quotaBytes, root } = directory.plan()
  return {
    format: FORMAT,
    token,
    quotaBytes,
    root,
    ...asked,
    urls: picture.members.flatMap(({ url }) => (url === null ? [] : [url])),
    ca: readText(directory.caFile) ?? '',
    client: issueClient(authority, token, surroundings),
    files: issueMember(authority, { token, ...asked }, surroundings),
  }
}

/** @throws ClusterFailure */
export function readInvitation(file: string): Invitation {
  const text = readText(file)
  if (text === null) throw new ClusterFailure(`There is no ${file}.`)
  const found = objectIn(text)
  if (!found || !hasAllOf(found)) {
    throw new ClusterFailure(`${file} is no invitation: expected the file that \`holdfast cluster invite\` writes.`)
  }
  // Written by `invite`; its format says by which.
  const invitation = found as Invitation
  if (invitation.format !== FORMAT) throw new ClusterFailure(`${file} is no invitation that this Holdfast knows.`)
  checkName(invitation.name)
  return invitation
}

/** Of every format, to tell an invitation from another file. */
function hasAllOf({ format, token, name, host, ca, client, files, urls }: Record<string, unknown>): boolean {
  const isText = [token, name, host, ca, client].every(field => typeof field === 'string')
  return isText && typeof format === 'number' && typeof files === 'object' && files !== null && Array.isArray(urls)
}

/** What the member needs to be let in, and no member yet. */
export function acceptInvitation(directory: ClusterDirectory, invitation: Invitation): void {
  const { token, quotaBytes, root, name, files } = invitation
  if (directory.exists) {
    const present = directory.plan()
    // Cut short the last time, before there was a member.
    if (present.token === token && present.members.length === 0) return refuseOldData(directory, name)
    throw new ClusterFailure(
      `There is a cluster in ${directory.path} already. A machine whose member has been removed joins anew with another folder, or when that one is gone.`,
    )
  }
  refuseOldData(directory, name)
  makeDirectory(directory.path)
  saveTrust(directory, invitation)
  saveMember(directory, name, files)
  directory.create({ token, quotaBytes, root, members: [] })
}

/** etcd goes by its data, whatever it is told: it would come up as the member that it was. */
function refuseOldData(directory: ClusterDirectory, name: string): void {
  if (!directory.hasData(name)) return
  throw new ClusterFailure(
    `There are data of a former member in ${directory.file(name, 'data')}: a member that joins begins without any. Remove them, or name another folder by --data.`,
  )
}

/** New certificates for a member that is there. Whether authorities to believe have changed: then it has to be started anew. */
export function renewFromInvitation(directory: ClusterDirectory, invitation: Invitation): { isNewAuthority: boolean } {
  const { token, members } = directory.plan()
  const own = members.find(({ name }) => name === invitation.name)
  if (!own || token !== invitation.token)
    throw new ClusterFailure(`The invitation is for ${invitation.name}, which is not in ${directory.path}.`)
  if (!isSameHost(own, invitation.host)) {
    throw new ClusterFailure(
      `The invitation is for ${own.name} at ${invitation.host}, and the others reach it at ${own.host}: with certificates for another host they would no longer believe it. Invite it again with --host ${own.host}; nothing has been changed.`,
    )
  }
  const isNewAuthority = readText(directory.caFile) !== invitation.ca
  saveTrust(directory, invitation)
  saveMember(directory, invitation.name, invitation.files)
  return { isNewAuthority }
}

/** Names are the same in capitals, and addresses in their long form: what is asked for today may be spelt otherwise than the plan was. */
function isSameHost(own: MemberPlan, host: string): boolean {
  const [one, other] = [own.host, host].map(spelt => clientUrlOf({ ...own, host: spelt }))
  if (one === other) return true
  return URL.canParse(one!) && URL.canParse(other!) && new URL(one!).hostname === new URL(other!).hostname
}

export function planOfInvitation({ name, host, clientPort, peerPort }: Invitation, etcd: string): MemberPlan {
  return { name, host, clientPort, peerPort, etcd, generation: 1, start: { state: 'existing', initialCluster: '' } }
}

function saveTrust(directory: ClusterDirectory, { ca, client, urls }: Invitation): void {
  writeWhole(directory.caFile, ca)
  writeWhole(directory.clientFile, client)
  directory.remember(urls)
}
