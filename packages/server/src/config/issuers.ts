/** The file of `--issuers`, checked as far as it can be without asking anybody. A mistake here lets somebody in, or nobody: nothing is guessed. */
import { readFileSync } from 'node:fs'
import { type IssuerConfig, type TokenAlgorithm, tokenAlgorithms, tokenKinds } from '../auth/issuer.ts'
import { isFetchable } from '../auth/key-sets.ts'
import { ConfigError, switchOf, unknownSetting } from './values.ts'

/** Each is fetched from in turn of minutes. */
export const ISSUERS_MAX = 50
/** More is no skew but a broken clock. */
export const CLOCK_SKEW_MS_MAX = 5 * 60_000
const CLOCK_SKEW_MS_DEFAULT = 30_000
const algorithmsDefault: readonly TokenAlgorithm[] = ['RS256', 'ES256', 'PS256', 'EdDSA']
const ID_PATTERN = /^[a-z0-9-]{1,64}$/

const fields = [
  'name',
  'kind',
  'issuer',
  'audience',
  'jwks_uri',
  'algorithms',
  'clock_skew_ms',
  'subject_claim',
  'groups_claim',
  'accounts',
  'instance',
  'ca_file',
  'bearer_file',
] as const
type Field = (typeof fields)[number]
type Given = Partial<Record<Field, unknown>>

type Believed = { issuers: IssuerConfig[]; acceptsRawKeys: boolean }

/**
 * Whose tokens are believed, and whether API keys are as they are. Beside IBM Cloud IAM they are not unless somebody says so: a production data plane
 * must not take them (decision 0126). Either text may be empty. @throws {ConfigError}
 */
export function believedOf({ issuersFile, acceptRawKeys }: { issuersFile: string; acceptRawKeys: string }): Believed {
  const issuers = issuersOf(issuersFile)
  const isBesideIbm = issuers.some(({ kind }) => kind === 'ibm')
  const acceptsRawKeys = acceptRawKeys === '' ? !isBesideIbm : switchOf('accept_raw_keys', acceptRawKeys)
  return { issuers, acceptsRawKeys }
}

/** `path` may be empty: nobody's tokens. @throws {ConfigError} */
function issuersOf(path: string): IssuerConfig[] {
  if (path === '') return []
  const content = objectOf(read(path), `The file ${path}`)
  for (const name of Object.keys(content))
    if (name !== 'issuers') throw unknownSetting(name, ['issuers'], ` in ${path}`)
  const { issuers: listed } = content
  if (!Array.isArray(listed) || listed.length === 0 || listed.length > ISSUERS_MAX)
    throw new ConfigError(`\`issuers\` in ${path} must be a list of 1 to ${ISSUERS_MAX} issuers.`)
  const issuers = listed.map((entry, index) => issuerOf(entry, `issuers[${index}] in ${path}`))
  refuseConfusion(issuers, path)
  return issuers
}

function read(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : cause
    throw new ConfigError(`The file ${path} cannot be read as JSON: ${why}`, { cause })
  }
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new ConfigError(`${what} must hold one JSON object.`)
  return value as Record<string, unknown> // just looked at
}

function issuerOf(entry: unknown, where: string): IssuerConfig {
  const given: Given = objectOf(entry, where)
  for (const name of Object.keys(given))
    if (!fields.some(field => field === name)) throw unknownSetting(name, fields, ` in ${where}`)
  const kind = tokenKinds.find(known => known === (given.kind ?? 'oidc'))
  if (!kind) throw new ConfigError(`\`kind\` of ${where} must be one of ${tokenKinds.join(', ')}.`)
  const text = (field: Field) => textOf(given, field, where)
  const list = (field: Field) => listOf(given, field, where)
  const config: IssuerConfig = {
    name: idOf(text('name'), 'name', where),
    kind,
    issuer: text('issuer') ?? '',
    audiences: list('audience') ?? [],
    jwksUri: text('jwks_uri'),
    algorithms: list('algorithms')?.map(name => algorithmOf(name, where)) ?? algorithmsDefault,
    clockSkewMs: skewOf(given.clock_skew_ms, where),
    subjectClaim: text('subject_claim'),
    groupsClaim: text('groups_claim'),
    accounts: list('accounts'),
    instance: given.instance === undefined ? null : idOf(text('instance'), 'instance', where),
    authoritiesFile: text('ca_file'),
    bearerFile: text('bearer_file'),
  }
  refuseGaps(config, where)
  return config
}

function refuseGaps({ kind, issuer, audiences, jwksUri, accounts }: IssuerConfig, where: string): void {
  if (issuer === '') throw new ConfigError(`\`issuer\` of ${where} is missing: what stands in \`iss\` of its tokens.`)
  if (kind !== 'ibm' && audiences.length === 0)
    throw new ConfigError(
      `\`audience\` of ${where} is missing: without it, a token that was made for another service opens this one.`,
    )
  if (kind !== 'ibm' && accounts !== null) throw new ConfigError(`\`accounts\` of ${where} is for the kind ibm only.`)
  if (!isFetchable(jwksUri ?? issuer))
    throw new ConfigError(
      `\`${jwksUri === null ? 'issuer' : 'jwks_uri'}\` of ${where} must be an https URL (http only on this machine), for its keys are fetched from there.`,
    )
}

/** What belongs to one must not be taken for another's. */
function refuseConfusion(issuers: readonly IssuerConfig[], path: string): void {
  for (const [what, values] of [
    ['name', issuers.map(({ name }) => name)],
    ['issuer', issuers.map(({ issuer }) => issuer)],
  ] as const) {
    const twice = values.find((value, index) => values.indexOf(value) < index)
    if (twice !== undefined) throw new ConfigError(`\`${what}\` \`${twice}\` is there twice in ${path}.`)
  }
  if (issuers.filter(({ kind }) => kind === 'ibm').length > 1)
    throw new ConfigError(
      `More than one issuer in ${path} is of the kind ibm: their subjects, \`iam:…\`, could not be told apart.`,
    )
}

function textOf(given: Given, field: Field, where: string): string | null {
  const value = given[field]
  if (value === undefined) return null
  if (typeof value !== 'string' || value === '') throw new ConfigError(`\`${field}\` of ${where} must be text.`)
  return value
}

/** One text is a list of one. */
function listOf(given: Given, field: Field, where: string): string[] | null {
  const value = given[field]
  if (value === undefined) return null
  const list: unknown[] = Array.isArray(value) ? value : [value]
  const texts = list.filter(item => typeof item === 'string' && item !== '')
  if (list.length === 0 || texts.length !== list.length)
    throw new ConfigError(`\`${field}\` of ${where} must be text or a list of texts.`)
  return texts as string[] // all have just been seen to be text
}

function idOf(text: string | null, field: 'name' | 'instance', where: string): string {
  if (text !== null && ID_PATTERN.test(text)) return text
  throw new ConfigError(`\`${field}\` of ${where} must be 1 to 64 lower-case letters, digits and dashes.`)
}

function algorithmOf(name: string, where: string): TokenAlgorithm {
  const known = tokenAlgorithms.find(algorithm => algorithm === name)
  if (known) return known
  throw new ConfigError(
    `\`algorithms\` of ${where} may name ${tokenAlgorithms.join(', ')}, not \`${name}\`: whoever can check a token must not be able to make one.`,
  )
}

function skewOf(value: unknown, where: string): number {
  if (value === undefined) return CLOCK_SKEW_MS_DEFAULT
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= CLOCK_SKEW_MS_MAX) return value
  throw new ConfigError(`\`clock_skew_ms\` of ${where} must be from 0 to ${CLOCK_SKEW_MS_MAX} ms.`)
}
