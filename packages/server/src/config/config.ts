/** The only place that knows flags, environment and file. A flag wins over the environment, that over the file, that over the default. */

import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { hostname } from 'node:os'
import type { IssuerConfig } from '../auth/issuer.ts'
import type { KeySourceConfig } from '../engine/sealed/key-source.ts'
import { type AuditConfig, auditOf, auditSettings } from './audit.ts'
import { type DecisionPointConfig, decisionPointOf, decisionSettings, trustedProxiesOf } from './decisions.ts'
import { encryptionOf } from './encryption.ts'
import { type EtcdConfig, type EtcdSettings, etcdConfigOf } from './etcd.ts'
import { foreignVariables, isOfKubernetes } from './foreign-variables.ts'
import { believedOf } from './issuers.ts'
import { type MeteringConfig, meteringOf, meteringSettings } from './metering.ts'
import {
  advertiseOf,
  ConfigError,
  distance,
  durationOf,
  keyOf,
  listenOf,
  oneOf,
  originsOf,
  rootOf,
  switchOf,
  tlsOf,
  unknownSetting,
} from './values.ts'

export { ConfigError, distance }

export const logLevels = ['silent', 'error', 'warn', 'info', 'debug'] as const
export const engines = ['lmdb', 'memory', 'etcd'] as const

export type Config = {
  listen: { host: string; port: number }
  isInsecureListen: boolean
  tls: { certificateFile: string; keyFile: string } | null
  /** null: the store is in the clear. */
  encryption: KeySourceConfig | null
  dataDirectory: string
  engine: (typeof engines)[number]
  /** Where the store is, when it is etcd. */
  etcd: EtcdConfig | null
  /** What the keys of the store begin with. */
  root: string
  /** Of a new cluster; one that is there keeps its number. */
  shards: number
  /** Where other servers reach this one; null: where it listens. */
  advertise: string | null
  peerAuthoritiesFile: string | null
  logLevel: (typeof logLevels)[number]
  logsRequests: boolean
  opensMetrics: boolean
  /** null: from `<data>/root.key`, made if need be. */
  rootKey: string | null
  /** Whose tokens are believed. */
  issuers: readonly IssuerConfig[]
  /** Whether API keys may be used as they are. The root key always may. */
  acceptsRawKeys: boolean
  /** PEM; whose client certificates say who is calling. null: no certificate does. */
  clientAuthoritiesFile: string | null
  serverName: string
  /** Of web pages that may use this service beside those that it serves itself. */
  allowedOrigins: readonly string[]
  /** CIDR blocks of proxies whose word on where a request comes from is taken. */
  trustedProxies: readonly string[]
  /** null: our own policies decide for all. */
  decisionPoint: DecisionPointConfig | null
  /** How long the server goes on as before after it has begun to say that it is not ready. */
  drainReadyMs: number
  audit: AuditConfig
  metering: MeteringConfig | null
  /** Labels of the tenant's metrics. */
  serviceName: string
  location: string
}

type Setting = { name: string; default: string; isSecret?: true; isSwitch?: true; help: string }

/** Named as in the file; the flag is `--like-this`, the variable `HOLDFAST_LIKE_THIS`. */
const settings = [
  { name: 'listen', default: '127.0.0.1:7420', help: 'Where to listen; port 0 takes a free one.' },
  {
    name: 'insecure_listen',
    default: 'false',
    isSwitch: true,
    help: 'Listen beyond loopback without TLS: keys and locks travel in the clear.',
  },
  { name: 'tls_cert', default: '', help: 'File of the certificate chain (PEM).' },
  { name: 'tls_key', default: '', help: "File of the certificate's key (PEM)." },
  {
    name: 'encryption_key_file',
    default: '',
    help: 'File of the key that the store is encrypted with: 32 bytes in hexadecimal or base64, mode 0600.',
  },
  {
    name: 'encryption_key_command',
    default: '',
    help: 'Command that prints that key, instead of a file.',
  },
  {
    name: 'encryption_kms_command',
    default: '',
    help: 'Command that wraps and unwraps data keys, so that the key is never here (docs/access/encryption.md).',
  },
  { name: 'data', default: './data', help: 'Directory of the data and the keys.' },
  {
    name: 'engine',
    default: 'lmdb',
    help: 'The store: lmdb, etcd or memory. What is in memory is gone when the server stops.',
  },
  { name: 'etcd', default: '', help: 'URLs of the etcd members, with commas between them.' },
  { name: 'etcd_ca', default: '', help: "File of the authorities that etcd's certificates are checked against (PEM)." },
  {
    name: 'etcd_cert',
    default: '',
    help: 'File of the certificate that is shown to etcd (PEM). Replaced files are used at once.',
  },
  { name: 'etcd_key', default: '', help: "File of that certificate's key (PEM)." },
  { name: 'etcd_user', default: '', help: 'User of etcd, if it has users; a certificate is better.' },
  { name: 'etcd_password', default: '', isSecret: true, help: "The user's password." },
  { name: 'etcd_password_file', default: '', help: "File of the user's password." },
  {
    name: 'etcd_quota_bytes',
    default: String(2 * 1024 ** 3),
    help: 'What `--quota-backend-bytes` of the members is. From etcd 3.6 on they say it themselves.',
  },
  {
    name: 'etcd_any_version',
    default: 'false',
    isSwitch: true,
    help: 'Use also an etcd that is too old to be trusted (before 3.5).',
  },
  { name: 'root', default: 'holdfast', help: 'What all keys in the store begin with.' },
  {
    name: 'shards',
    default: '',
    help: 'Parts of a new cluster, 1 to 64; by default 8 on etcd, else 1. Fixed from then on.',
  },
  {
    name: 'advertise',
    default: '',
    help: 'URL at which the other servers of the cluster reach this one; by default where it listens.',
  },
  {
    name: 'peer_ca',
    default: '',
    help: "File of the authorities that the other servers' certificates are checked against (PEM).",
  },
  { name: 'log_level', default: 'info', help: `One of ${logLevels.join(', ')}.` },
  { name: 'log_requests', default: 'false', isSwitch: true, help: 'A line in the log for each request.' },
  { name: 'open_metrics', default: 'false', isSwitch: true, help: '`/metrics` for everybody, not only this machine.' },
  { name: 'root_key', default: '', isSecret: true, help: 'The root API key; else it is in <data>/root.key.' },
  {
    name: 'issuers',
    default: '',
    help: 'A JSON file that says whose tokens (IBM Cloud IAM, OIDC, Kubernetes) are believed.',
  },
  {
    name: 'accept_raw_keys',
    default: '',
    isSwitch: true,
    help: 'Whether API keys may be used as they are; if not, only tokens and certificates. The root key always may. By default they may, unless there is an issuer of IBM Cloud IAM.',
  },
  {
    name: 'client_ca',
    default: '',
    help: 'File of the authorities whose client certificates say who is calling (PEM); needs TLS.',
  },
  { name: 'server_name', default: hostname(), help: 'What this server calls itself.' },
  {
    name: 'drain_ready_ms',
    default: '0',
    help: 'When told to stop, say so in /readyz for this long before anything else, so that balancers look elsewhere.',
  },
  ...decisionSettings,
  {
    name: 'allowed_origins',
    default: '',
    help: 'Origins of web pages that may use this service, like https://app.example.org, separated by commas.',
  },
  ...auditSettings,
  ...meteringSettings,
  { name: 'service_name', default: 'go-etcd-lock', help: "The service's name in the labels of the tenant's metrics." },
  { name: 'location', default: 'local', help: "The location in the labels of the tenant's metrics." },
] as const satisfies Setting[]

/** One process decides everything when the store is embedded: more shards would only be more commits. */
const DEFAULT_SHARDS: Record<Config['engine'], number> = { lmdb: 1, memory: 1, etcd: 8 }
/** As the shards' own limit: all logs are begun in one commit. */
const SHARDS_MAX = 64

type SettingName = (typeof settings)[number]['name']

/** @throws {ConfigError} */
export function readConfig(sources: { args: readonly string[]; env: Record<string, string | undefined> }): Config {
  const flags = fromFlags(sources.args)
  const environment = fromEnvironment(sources.env)
  const path = flags.get('config') ?? environment.get('config')
  const file = path === undefined ? new Map<string, string>() : fromFile(path)
  const get = (name: SettingName) =>
    flags.get(name) ??
    environment.get(name) ??
    file.get(name) ??
    settings.find(setting => setting.name === name)!.default
  const engine = oneOf('engine', engines, get('engine'))
  const config: Config = {
    listen: listenOf(get('listen')),
    isInsecureListen: switchOf('insecure_listen', get('insecure_listen')),
    tls: tlsOf(get('tls_cert'), get('tls_key')),
    encryption: encryptionOf({
      encryption_key_file: get('encryption_key_file'),
      encryption_key_command: get('encryption_key_command'),
      encryption_kms_command: get('encryption_kms_command'),
    }),
    dataDirectory: get('data'),
    engine,
    etcd: etcdOf(engine, get),
    root: rootOf(get('root')),
    shards: shardsOf(engine, get('shards')),
    advertise: advertiseOf(get('advertise')),
    peerAuthoritiesFile: get('peer_ca') || null,
    logLevel: oneOf('log_level', logLevels, get('log_level')),
    logsRequests: switchOf('log_requests', get('log_requests')),
    opensMetrics: switchOf('open_metrics', get('open_metrics')),
    rootKey: keyOf('root_key', get('root_key')),
    ...believedOf({ issuersFile: get('issuers'), acceptRawKeys: get('accept_raw_keys') }),
    clientAuthoritiesFile: clientAuthoritiesOf(get('client_ca'), get('tls_cert')),
    serverName: get('server_name'),
    drainReadyMs: durationOf('drain_ready_ms', get('drain_ready_ms')),
    allowedOrigins: originsOf(get('allowed_origins')),
    trustedProxies: trustedProxiesOf(get),
    decisionPoint: decisionPointOf(get),
    audit: auditOf(engine, get),
    metering: meteringOf(get),
    serviceName: get('service_name'),
    location: get('location'),
  }
  refuseOpenDoor(config)
  refuseAnywhere(config)
  return config
}

export function usage(): string {
  const rows = settings.map(setting => {
    const flag =
      'isSecret' in setting
        ? variableOf(setting.name)
        : `${flagOf(setting.name)}${'isSwitch' in setting ? '' : ' VALUE'}`
    return `  ${flag.padEnd(28)} ${setting.help}${setting.default === '' ? '' : ` Default: ${setting.default}.`}`
  })
  return [
    'Settings (each also as HOLDFAST_… in the environment, or in the file):',
    '  --config FILE                A JSON file with settings, named like "log_level".',
    ...rows,
  ].join('\n')
}

/** Where each setting can be made; for the manual. Nothing in it is of this machine. */
export function settingRows(): { flag: string; variable: string; field: string; fallback: string; help: string }[] {
  const file = { flag: '--config', variable: variableOf('config'), field: '', fallback: '' }
  return [
    { ...file, help: 'A JSON file with settings.' },
    ...settings.map(setting => ({
      flag: 'isSecret' in setting ? '' : flagOf(setting.name),
      variable: variableOf(setting.name),
      field: setting.name,
      fallback: setting.name === 'server_name' ? "the machine's name" : setting.default,
      help: setting.help,
    })),
  ]
}

const flagOf = (name: string) => `--${name.replaceAll('_', '-')}`
const variableOf = (name: string) => `HOLDFAST_${name.toUpperCase()}`
const byName = new Map<string, Setting>(settings.map(setting => [setting.name, setting]))

function fromFlags(args: readonly string[]): Map<string, string> {
  const found = new Map<string, string>()
  const flags = new Map(
    ['config', ...settings.filter(setting => !('isSecret' in setting)).map(setting => setting.name)].map(name => [
      flagOf(name),
      name,
    ]),
  )
  for (let index = 0; index < args.length; index++) {
    const [flag = '', ...rest] = args[index]!.split('=')
    const name = flags.get(flag)
    if (name === undefined) throw unknownSetting(flag, [...flags.keys()])
    if (found.has(name)) throw new ConfigError(`${flag} is given twice.`)
    const inline = rest.length > 0 ? rest.join('=') : undefined
    const isSwitch = byName.get(name)?.isSwitch
    const value = inline ?? (isSwitch ? 'true' : args[++index])
    if (value === undefined || (inline === undefined && !isSwitch && value.startsWith('--')))
      throw new ConfigError(`${flag} needs a value.`)
    found.set(name, value)
  }
  return found
}

function fromEnvironment(env: Record<string, string | undefined>): Map<string, string> {
  const known = new Map(['config', ...byName.keys()].map(name => [variableOf(name), name]))
  const found = new Map<string, string>()
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith('HOLDFAST_') || value === undefined || foreignVariables.includes(variable)) continue
    const name = known.get(variable)
    if (name !== undefined) found.set(name, value)
    else if (!isOfKubernetes(variable, value)) throw unknownSetting(variable, [...known.keys(), ...foreignVariables])
  }
  return found
}

function fromFile(path: string): Map<string, string> {
  let content: unknown
  try {
    content = JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new ConfigError(
      `The file ${path} cannot be read as JSON: ${cause instanceof Error ? cause.message : cause}`,
      { cause },
    )
  }
  if (content === null || typeof content !== 'object' || Array.isArray(content))
    throw new ConfigError(`The file ${path} must hold one JSON object.`)
  const found = new Map<string, string>()
  for (const [name, value] of Object.entries(content)) {
    if (!byName.has(name)) throw unknownSetting(name, [...byName.keys()], ` in ${path}`)
    if (!['string', 'number', 'boolean'].includes(typeof value))
      throw new ConfigError(`\`${name}\` in ${path} must be text, a number, true or false.`)
    found.set(name, String(value))
  }
  return found
}

const etcdSettings = [
  'etcd',
  'etcd_ca',
  'etcd_cert',
  'etcd_key',
  'etcd_user',
  'etcd_password',
  'etcd_password_file',
  'etcd_quota_bytes',
  'etcd_any_version',
] as const satisfies SettingName[]

function etcdOf(engine: Config['engine'], get: (name: SettingName) => string): EtcdConfig | null {
  const given = Object.fromEntries(etcdSettings.map(name => [name, get(name)])) as EtcdSettings // exactly these names
  if (engine !== 'etcd') {
    // Else somebody believes that the locks are in etcd, and they are not.
    if (given.etcd !== '') throw new ConfigError('`etcd` is given, but `engine` is not etcd: add --engine etcd.')
    return null
  }
  if (given.etcd === '') throw new ConfigError('The engine etcd needs `etcd`: the URLs of its members.')
  const config = etcdConfigOf(given)
  if (typeof config === 'string') throw new ConfigError(config)
  return config
}

function shardsOf(engine: Config['engine'], text: string): number {
  const shards = text === '' ? DEFAULT_SHARDS[engine] : Number(text)
  if (Number.isInteger(shards) && shards >= 1 && shards <= SHARDS_MAX) return shards
  throw new ConfigError(`\`shards\` must be a whole number from 1 to ${SHARDS_MAX}, not \`${text}\`.`)
}

function clientAuthoritiesOf(file: string, certificate: string): string | null {
  if (file !== '' && certificate === '')
    throw new ConfigError('`client_ca` needs `tls_cert` and `tls_key`: without TLS nobody shows a certificate.')
  return file || null
}

function refuseOpenDoor({ listen, tls, isInsecureListen }: Config): void {
  const isLoopback =
    listen.host === 'localhost' || listen.host === '::1' || (isIP(listen.host) === 4 && listen.host.startsWith('127.'))
  if (isLoopback || tls || isInsecureListen) return
  throw new ConfigError(
    `Listening on ${listen.host} needs TLS: give --tls-cert and --tls-key, or say --insecure-listen if keys and locks may travel in the clear.`,
  )
}

/** "Everywhere" is a place to listen on, but not one to be found at. */
function refuseAnywhere({ engine, listen, advertise }: Config): void {
  if (engine !== 'etcd' || advertise !== null || !['0.0.0.0', '::'].includes(listen.host)) return
  throw new ConfigError(
    `Listening on ${listen.host}, this server must say where the others reach it: give --advertise, like https://10.0.0.1:7420.`,
  )
}
