/** From when on and until when the certificates of this machine are good, by its clock. */
import { existsSync } from 'node:fs'
import type { Clock } from '../clock.ts'
import { type CertificateFacts, factsOf, isDue } from './certificates.ts'
import type { ClusterDirectory } from './directory.ts'
import { ClusterFailure } from './failure.ts'
import { readText } from './files.ts'

export type CertificateStatus = {
  file: string
  name: string
  validFrom: number
  expiresAt: number
  /** A new one should take its place. */
  isDue: boolean
  isValid: boolean
  /** What is wrong with it, and what to do; null: nothing. */
  problem: { what: string; change: string } | null
}

/** What members and servers of this machine show. */
export function leavesOf(directory: ClusterDirectory): string[] {
  const members = directory
    .plan()
    .members.flatMap(({ name }) => [directory.file(name, 'server.pem'), directory.file(name, 'peer.pem')])
  return [directory.clientFile, ...members].filter(file => existsSync(file))
}

/** Those, and the authority that is believed. @throws ClusterFailure when one is damaged */
export function certificatesOf(directory: ClusterDirectory, clock: Clock): CertificateStatus[] {
  const nowMs = clock.wallMs()
  return [directory.caFile, ...leavesOf(directory)]
    .filter(file => existsSync(file))
    .map(file => {
      const { name, validFrom, expiresAt } = readFacts(file)
      const change = `holdfast cluster rotate-certs${file === directory.caFile ? ' --ca' : ''}`
      return {
        ...{ file, name, validFrom, expiresAt, isDue: isDue({ validFrom, expiresAt }, nowMs) },
        isValid: validFrom <= nowMs && nowMs < expiresAt,
        problem: problemOf({ file, validFrom, expiresAt }, { nowMs, change }),
      }
    })
}

function problemOf(
  { file, validFrom, expiresAt }: { file: string } & Omit<CertificateFacts, 'name' | 'fingerprint'>,
  { nowMs, change }: { nowMs: number; change: string },
): CertificateStatus['problem'] {
  const on = (atMs: number) => new Date(atMs).toISOString().slice(0, 10)
  if (validFrom > nowMs) {
    const clock = `It is ${on(nowMs)} by the clock of this machine: set it right, or if it is right`
    return { what: `${file} is not valid before ${on(validFrom)}`, change: `${clock}: ${change}` }
  }
  if (!isDue({ validFrom, expiresAt }, nowMs)) return null
  return { what: `${file} ${expiresAt > nowMs ? 'ends' : 'ended'} on ${on(expiresAt)}`, change }
}

function readFacts(file: string): CertificateFacts {
  try {
    return factsOf(readText(file) ?? '')
  } catch (error) {
    if (error instanceof ClusterFailure) throw error
    throw new ClusterFailure(`${file} is damaged: it should hold a certificate.`, { cause: error })
  }
}
