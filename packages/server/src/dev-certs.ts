/** An authority and a certificate for a first start: what `holdfast dev-certs` writes. Not for long: whoever has the folder can be the server. */
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { systemClock } from './clock.ts'
import { Authority } from './cluster/certificates.ts'
import { makeDirectory, writeWhole } from './cluster/files.ts'
import { systemRandom } from './random.ts'

export type DevCertificates = {
  authorityFile: string
  certificateFile: string
  keyFile: string
  hosts: string[]
  /** It was there already, so that those who trust it go on doing so. */
  isOldAuthority: boolean
}

const LOOPBACK = ['127.0.0.1', '::1', 'localhost']
/** The authority with its key, for the next time. */
const AUTHORITY = 'authority.pem'

/** Makes the files in `folder`, which is private; the authority only if it is not there. @throws when the folder cannot be written. */
export function writeDevCertificates({ folder, hosts }: { folder: string; hosts: readonly string[] }): DevCertificates {
  const surroundings = { clock: systemClock, random: systemRandom }
  const path = resolve(folder)
  makeDirectory(path)
  const secretFile = join(path, AUTHORITY)
  const isOldAuthority = existsSync(secretFile)
  const authority = isOldAuthority
    ? Authority.from(readFileSync(secretFile, 'utf8'))
    : Authority.create('Holdfast development authority', surroundings)
  if (!isOldAuthority) writeWhole(secretFile, authority.pem)
  const all = [...new Set([...LOOPBACK, ...hosts])]
  const issued = authority.issue({ name: 'holdfast', purpose: 'server', hosts: all }, surroundings)
  const begin = issued.indexOf('-----BEGIN PRIVATE KEY-----')
  const files = {
    authorityFile: join(path, 'ca.pem'),
    certificateFile: join(path, 'server.pem'),
    keyFile: join(path, 'server-key.pem'),
  }
  writeWhole(files.authorityFile, authority.certificate)
  writeWhole(files.keyFile, issued.slice(begin))
  writeWhole(files.certificateFile, issued.slice(0, begin))
  return { ...files, hosts: all, isOldAuthority }
}
