/** The settings of the store when it is etcd, checked as far as they can be without asking it. */
import { readFileSync } from 'node:fs'

export type EtcdConfig = {
  urls: string[]
  tls: { caFile: string | null; certificate: { certificateFile: string; keyFile: string } | null }
  login: { user: string; password: string } | null
  quotaBytes: number
  takesAnyVersion: boolean
}

/** As they were given; empty: not at all. */
export type EtcdSettings = {
  etcd: string
  etcd_ca: string
  etcd_cert: string
  etcd_key: string
  etcd_user: string
  etcd_password: string
  etcd_password_file: string
  etcd_quota_bytes: string
  etcd_any_version: string
}

/** etcd starts with less, but a quarter of it would be gone after seconds of work. */
const QUOTA_BYTES_MIN = 16 * 1024 * 1024

/** Returns what is wrong, as a sentence. */
export function etcdConfigOf(given: EtcdSettings): EtcdConfig | string {
  const urls = given.etcd.split(',').map(url => url.trim())
  for (const url of urls) {
    if (!isMemberUrl(url))
      return `\`etcd\` must be URLs like https://10.0.0.1:2379, with commas between them; this is none: \`${url}\`.`
  }
  const hasFiles = given.etcd_ca !== '' || given.etcd_cert !== ''
  if (hasFiles && urls.some(url => url.startsWith('http:')))
    return '`etcd_ca` and `etcd_cert` need URLs that begin with https.'
  if ((given.etcd_cert === '') !== (given.etcd_key === ''))
    return '`etcd_cert` and `etcd_key` go together: one is missing.'
  const login = loginOf(given)
  if (typeof login === 'string') return login
  const quotaBytes = Number(given.etcd_quota_bytes)
  if (!Number.isSafeInteger(quotaBytes) || quotaBytes < QUOTA_BYTES_MIN) {
    return `\`etcd_quota_bytes\` must be a whole number of bytes, at least ${QUOTA_BYTES_MIN}.`
  }
  if (!['true', 'false'].includes(given.etcd_any_version)) return '`etcd_any_version` must be true or false.'
  const certificate = given.etcd_cert === '' ? null : { certificateFile: given.etcd_cert, keyFile: given.etcd_key }
  return {
    urls,
    tls: { caFile: given.etcd_ca === '' ? null : given.etcd_ca, certificate },
    login,
    quotaBytes,
    takesAnyVersion: given.etcd_any_version === 'true',
  }
}

function loginOf({ etcd_user: user, etcd_password: preset, etcd_password_file: file }: EtcdSettings) {
  if (preset !== '' && file !== '') return '`etcd_password` and `etcd_password_file` are both given; one is enough.'
  if (user === '' && preset === '' && file === '') return null
  let password = preset
  try {
    if (file !== '') password = readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (error) {
    return `The file ${file} cannot be read: ${error instanceof Error ? error.message : error}`
  }
  if (user === '' || password === '') return '`etcd_user` and a password go together: one is missing.'
  return { user, password }
}

function isMemberUrl(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : null
  return (
    url !== null && /^https?:$/.test(url.protocol) && url.pathname === '/' && url.username === '' && url.search === ''
  )
}
