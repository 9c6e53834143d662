/** How long the trail is kept, and where else it goes. */
import { ConfigError } from './values.ts'

export const auditModes = ['best-effort', 'strict'] as const

export type SinkConfig =
  | { type: 'file'; path: string; bytesMax: number; files: number }
  | { type: 'syslog'; transport: 'udp' | 'tcp' | 'tls'; host: string; port: number }
  | { type: 'syslog'; transport: 'unix'; path: string }
  /** `secret` signs what is sent. */
  | { type: 'webhook'; url: string; secret: string | null }

export type AuditConfig = {
  /** null: nothing is archived. */
  retention: { ageMs: number; bytesMax: number } | null
  isStrict: boolean
  /** Strict: how long all sinks may be away before changes are refused. */
  strictAfterMs: number
  /** With what each is called in messages, metrics and the store. */
  sinks: { name: string; sink: SinkConfig }[]
}

export const auditSettings = [
  { name: 'audit_retention', default: '30d', help: 'How long the trail of lock changes is kept, like 12h or 30d.' },
  {
    name: 'audit_bytes_max',
    default: '',
    help: 'The most that it takes in the store, of all shards together; by default 256MiB, on etcd 64MiB or a sixteenth of the quota, in memory 16MiB. 0: it ends with the log.',
  },
  {
    name: 'audit_sink',
    default: '',
    help: 'Where the trail is sent too, with commas between them: file:PATH, syslog+udp://, syslog+tcp://, syslog+tls://HOST:PORT, syslog+unix:PATH, https://URL.',
  },
  {
    name: 'audit_mode',
    default: 'best-effort',
    help: `One of ${auditModes.join(', ')}. Strict: while no sink takes the trail for too long, changes are refused; never releases, renewals and expiry.`,
  },
  { name: 'audit_strict_after', default: '1m', help: 'For how long no sink may take the trail in strict mode.' },
  {
    name: 'audit_webhook_secret',
    default: '',
    isSecret: true,
    help: 'Signs what is sent to https sinks (HMAC-SHA-256).',
  },
] as const

export type AuditSetting = (typeof auditSettings)[number]['name']

const BYTES_DEFAULT = { lmdb: 256 * 2 ** 20, etcd: 64 * 2 ** 20, memory: 16 * 2 ** 20 } as const
/** Of the quota of etcd, at the most, unless it is said: a store that is full of the past takes nothing new. */
const QUOTA_SHARE = 1 / 16
/** As many segments as an index of the archive has lines, each half full. */
export const AUDIT_BYTES_MAX = 2 ** 30
/** Less than a few segments for each shard is no archive. */
export const AUDIT_BYTES_MIN = 4 * 2 ** 20
const RETENTION_MS_MAX = 3_650 * 86_400_000
export const AUDIT_SINKS_MAX = 8
/** A file is begun anew beyond this, and so many old ones are kept, unless the sink says otherwise. */
const FILE_BYTES = 64 * 2 ** 20
const FILES = 8
const SYSLOG_PORTS = { udp: 514, tcp: 601, tls: 6514 } as const

/** @throws ConfigError */
export function auditOf(
  engine: keyof typeof BYTES_DEFAULT,
  get: (name: AuditSetting | 'etcd_quota_bytes') => string,
): AuditConfig {
  const modes: readonly string[] = auditModes
  if (!modes.includes(get('audit_mode'))) throw new ConfigError(`\`audit_mode\` must be one of ${modes.join(', ')}.`)
  const roomBytes = engine === 'etcd' ? Number(get('etcd_quota_bytes')) * QUOTA_SHARE : Number.POSITIVE_INFINITY
  const bytesMax = bytesOf(get('audit_bytes_max')) ?? Math.floor(Math.min(BYTES_DEFAULT[engine], roomBytes))
  const ageMs = durationOf('audit_retention', get('audit_retention'))
  const isStrict = get('audit_mode') === 'strict'
  const secret = get('audit_webhook_secret') === '' ? null : get('audit_webhook_secret')
  const sinks = get('audit_sink')
    .split(',')
    .map(text => text.trim())
    .filter(text => text !== '')
    .map(text => ({ name: nameOf(text), sink: sinkOf(text, secret) }))
  if (sinks.length > AUDIT_SINKS_MAX) throw new ConfigError(`\`audit_sink\` names at most ${AUDIT_SINKS_MAX} sinks.`)
  if (new Set(sinks.map(({ name }) => name)).size < sinks.length)
    throw new ConfigError('`audit_sink` names one sink twice.')
  if (isStrict && sinks.length === 0) throw new ConfigError('`audit_mode` is strict, but there is no `audit_sink`.')
  const strictAfterMs = durationOf('audit_strict_after', get('audit_strict_after'))
  return { retention: bytesMax === 0 ? null : { ageMs, bytesMax }, isStrict, strictAfterMs, sinks }
}

const unitsMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

function durationOf(name: string, text: string): number {
  const match = /^([0-9]{1,6})(s|m|h|d)$/.exec(text)
  // One of the four, by the pattern.
  const ms = match ? Number(match[1]) * unitsMs[match[2] as keyof typeof unitsMs] : 0
  if (ms < 1_000 || ms > RETENTION_MS_MAX)
    throw new ConfigError(`\`${name}\` must be a time like 30s, 12h or 30d, not \`${text}\`.`)
  return ms
}

/** null: as by default. */
function bytesOf(text: string): number | null {
  if (text === '') return null
  const match = /^([0-9]{1,10})(KiB|MiB|GiB|)$/.exec(text)
  const unit = { '': 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }[match?.[2] ?? ''] ?? 1
  const bytes = match ? Number(match[1]) * unit : Number.NaN
  if (bytes === 0 || (bytes >= AUDIT_BYTES_MIN && bytes <= AUDIT_BYTES_MAX)) return bytes
  throw new ConfigError(
    `\`audit_bytes_max\` must be 0 or from ${AUDIT_BYTES_MIN / 2 ** 20}MiB to ${AUDIT_BYTES_MAX / 2 ** 20}MiB, not \`${text}\`.`,
  )
}

/** Without what may be secret in it: user, password and query. */
function nameOf(text: string): string {
  if (!URL.canParse(text) || !text.includes('://')) return text.replace(/\?.*$/, '')
  const { protocol, host, pathname } = new URL(text)
  return `${protocol}//${host}${pathname === '/' ? '' : pathname}`
}

function sinkOf(text: string, secret: string | null): SinkConfig {
  const [, filePath, query = ''] = /^file:([^?]+)(?:\?(.*))?$/.exec(text) ?? []
  if (filePath !== undefined) return fileSinkOf(text, filePath, query)
  const [, socketPath] = /^syslog\+unix:(.+)$/.exec(text) ?? []
  if (socketPath !== undefined) return { type: 'syslog', transport: 'unix', path: socketPath }
  const [, transport] = /^syslog\+(udp|tcp|tls):\/\//.exec(text) ?? []
  const url = URL.canParse(text) ? new URL(text) : null
  if (transport && url && url.hostname !== '' && url.pathname.length <= 1) {
    const named = transport as keyof typeof SYSLOG_PORTS // by the pattern
    const host = url.hostname.replace(/^\[|\]$/g, '')
    return { type: 'syslog', transport: named, host, port: Number(url.port || SYSLOG_PORTS[named]) }
  }
  const isLoopback = url !== null && ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname)
  // A trail of who did what is not for everybody on the way.
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback))
    return { type: 'webhook', url: url.href, secret }
  throw new ConfigError(
    `\`audit_sink\` must be file:PATH, syslog+udp://, syslog+tcp:// or syslog+tls://HOST:PORT, syslog+unix:PATH, or https://…, not \`${nameOf(text)}\`.`,
  )
}

function fileSinkOf(text: string, path: string, query: string): SinkConfig {
  const given = new URLSearchParams(query)
  const bytesMax = given.has('bytes') ? Number(given.get('bytes')) : FILE_BYTES
  const files = given.has('files') ? Number(given.get('files')) : FILES
  const isKnown = [...given.keys()].every(key => key === 'bytes' || key === 'files')
  const isValid =
    Number.isSafeInteger(bytesMax) && bytesMax >= 1_000 && Number.isInteger(files) && files >= 1 && files <= 1_000
  if (!isKnown || !isValid)
    throw new ConfigError(
      `\`audit_sink\`: after a file may come ?bytes=…&files=…, its size and how many are kept; not \`${text}\`.`,
    )
  return { type: 'file', path, bytesMax, files }
}
