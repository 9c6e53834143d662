/**
 * New certificates, without a pause. etcd reads its own certificate anew at each handshake, and Holdfast's servers look at theirs every few
 * seconds, so a certificate is replaced by replacing its file. Which authorities it believes etcd reads only when it starts: so a new authority
 * comes in two steps. First everybody learns to believe both, member after member; then certificates are signed by the new one, and the old
 * one is forgotten.
 */

import { join } from 'node:path'
import { connect } from 'node:tls'
import { pause } from '../clock.ts'
import { Authority, certificatesIn, factsOf, isDue, isSignedByOneOf } from './certificates.ts'
import type { ClusterDirectory } from './directory.ts'
import { ClusterFailure } from './failure.ts'
import { readText, remove, writeWhole } from './files.ts'
import {
  authorityIfHere,
  authorityOf,
  createAuthority,
  issueClient,
  issueMember,
  type Surroundings,
  saveAuthority,
  saveMember,
} from './identities.ts'
import { demandHealth } from './picture.ts'
import { demandRunner, type Rolling, restartOneByOne } from './rolling.ts'
import { leavesOf } from './validity.ts'

/** Holdfast's servers look at their files every 10 s; then all of them use what is new. */
const NOTICED_MS = 15_000
const SHOWN_MS_MAX = 5_000

/** New certificates for the members and clients of this machine, by the same authority. Returns the files. */
export function rotateLeaves(directory: ClusterDirectory, surroundings: Surroundings): string[] {
  const authority = authorityOf(directory)
  const { token, members } = directory.plan()
  writeWhole(directory.clientFile, issueClient(authority, token, surroundings))
  for (const { name, host } of members) {
    saveMember(directory, name, issueMember(authority, { token, name, host }, surroundings))
  }
  return leavesOf(directory)
}

/** Those that will soon be over, where the authority's key lies. Returns the files that are new. */
export function renewIfDue(directory: ClusterDirectory, surroundings: Surroundings): string[] {
  const authority = authorityIfHere(directory)
  const nowMs = surroundings.clock.wallMs()
  // By a clock that says a time before the authority was made nothing good can be signed.
  if (!authority || authority.validFrom > nowMs) return []
  const isAnyDue = leavesOf(directory).some(file => isDue(factsOf(readText(file) ?? ''), nowMs))
  return isAnyDue ? rotateLeaves(directory, surroundings) : []
}

/** First step: a new authority that everybody of this machine believes beside the old one. Nothing shows its certificates yet. */
export async function beginAuthority(work: Rolling & Surroundings): Promise<void> {
  const { directory, doors } = work
  const purpose = 'giving members a new authority'
  const present = authorityOf(directory)
  refuseUnfinished(directory, present)
  demandRunner(directory)
  demandHealth(await doors.look(), purpose)
  if (readText(nextFile(directory)) === null) {
    const next = createAuthority(directory.plan().token, work)
    writeWhole(nextFile(directory), next.pem)
  }
  const next = Authority.from(readText(nextFile(directory)) ?? '')
  writeWhole(directory.caFile, present.certificate + next.certificate)
  await restartOneByOne(work, { purpose, change: plan => plan })
}

/** The present authority would take the place of the one before it, which members elsewhere may still be of. @throws ClusterFailure */
function refuseUnfinished(directory: ClusterDirectory, present: Authority): void {
  if (certificatesIn(readText(directory.caFile) ?? '').length < 2) return
  const pem = readText(nextFile(directory))
  // The other case: it was the first step that was cut short, and nothing is of the new authority yet.
  if (pem !== null && Authority.from(pem).certificate !== present.certificate) return
  throw new ClusterFailure(
    'The last new authority has not taken the place of the old one everywhere: first `holdfast cluster rotate-certs --ca --finish`. Nothing has been changed.',
  )
}

/**
 * Second step: everybody of this machine shows certificates of the new authority, and the old one is forgotten. While a member elsewhere still
 * shows an old one, that is said and the old authority stays: do it again after that member has got its new files.
 */
export async function finishAuthority(work: Rolling & Surroundings): Promise<{ waitingFor: string[] }> {
  const { directory, clock, signal, progress, doors } = work
  const pem = readText(nextFile(directory))
  if (pem !== null) {
    const next = Authority.from(pem)
    if (certificatesIn(readText(directory.caFile) ?? '').length < 2) {
      throw new ClusterFailure('The first step has not been done: `holdfast cluster rotate-certs --ca`.')
    }
    saveAuthority(directory, next)
    remove(nextFile(directory))
  }
  const authority = authorityOf(directory)
  const isOf = (file: string) => isSignedByOneOf(readText(file) ?? '', authority.certificate)
  if (!leavesOf(directory).every(isOf)) {
    rotateLeaves(directory, work)
    progress.say('certificates of the new authority are in use')
  }
  if (certificatesIn(readText(directory.caFile) ?? '').length < 2) {
    throw new ClusterFailure('There is no new authority to change to: begin with `holdfast cluster rotate-certs --ca`.')
  }
  const { members } = await doors.look()
  const waitingFor: string[] = []
  for (const { name, url } of members) {
    const isNew = url !== null && isSignedByOneOf(await shownAt(url, directory), authority.certificate)
    if (!isNew) waitingFor.push(name)
  }
  if (waitingFor.length > 0) return { waitingFor }
  progress.update('until the servers have noticed …')
  await pause(clock, NOTICED_MS, signal)
  signal.throwIfAborted()
  writeWhole(directory.caFile, authority.certificate)
  await restartOneByOne(work, { purpose: 'taking the old authority away', change: plan => plan })
  return { waitingFor }
}

/** The certificate that a member shows now, as PEM. */
function shownAt(url: string, directory: ClusterDirectory): Promise<string> {
  const { hostname, port } = new URL(url)
  const own = readText(directory.clientFile) ?? ''
  const ca = readText(directory.caFile) ?? ''
  return new Promise((resolve, reject) => {
    const host = hostname.replace(/^\[|\]$/g, '')
    const socket = connect({ host, port: Number(port), ca, cert: own, key: own, timeout: SHOWN_MS_MAX }, () => {
      const certificate = socket.getPeerX509Certificate()
      socket.destroy()
      if (certificate) resolve(certificate.toString())
      else reject(new ClusterFailure(`${url} shows no certificate.`))
    })
    socket.once('timeout', () => socket.destroy(new Error('no answer')))
    socket.once('error', error =>
      reject(new ClusterFailure(`${url} cannot be asked for its certificate: ${error.message}`)),
    )
  })
}

const nextFile = (directory: ClusterDirectory) => join(directory.path, 'authority', 'next.pem')
