/** Whose word is taken: proxies on where a request comes from, a remote decision point on who may do what. */

import { parseBlock } from '../policies/addresses.ts'
import { ConfigError } from './values.ts'

export type DecisionPointConfig = { url: string; tokenUrl: string; apiKey: string }

export const decisionSettings = [
  {
    name: 'trusted_proxies',
    default: '',
    help: 'Addresses or CIDR blocks of proxies whose X-Forwarded-For, -Proto and -Host are believed, separated by commas.',
  },
  {
    name: 'pdp_url',
    default: '',
    help: 'Decision point for tokens of IBM Cloud IAM, like https://iam.cloud.ibm.com/v2/authz; else our own policies decide for them too.',
  },
  {
    name: 'pdp_token_url',
    default: 'https://iam.cloud.ibm.com/identity/token',
    help: 'Where the key of the decision point is exchanged for a token.',
  },
  { name: 'pdp_api_key', default: '', isSecret: true, help: 'The API key of this service, for the decision point.' },
] as const

export type DecisionSetting = (typeof decisionSettings)[number]['name']

/** null: there is none. @throws {ConfigError} */
export function decisionPointOf(get: (name: DecisionSetting) => string): DecisionPointConfig | null {
  const [url, tokenUrl, apiKey] = [get('pdp_url'), get('pdp_token_url'), get('pdp_api_key')]
  if (url === '' && apiKey === '') return null
  if (url === '' || apiKey === '') throw new ConfigError('`pdp_url` and `pdp_api_key` go together: one is missing.')
  for (const [name, text] of Object.entries({ pdp_url: url, pdp_token_url: tokenUrl }))
    if (!isSafe(text))
      throw new ConfigError(`\`${name}\` must be an https URL (http on this machine), not \`${text}\`.`)
  return { url, tokenUrl, apiKey }
}

/** A key travels there. */
function isSafe(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : null
  return url?.protocol === 'https:' || (url?.protocol === 'http:' && /^(127\.|localhost$|\[::1\]$)/.test(url.hostname))
}

/** @throws {ConfigError} */
export function trustedProxiesOf(get: (name: DecisionSetting) => string): string[] {
  const text = get('trusted_proxies')
  const blocks = text === '' ? [] : text.split(',').map(block => block.trim())
  const wrong = blocks.find(block => parseBlock(block) === null)
  if (wrong === undefined) return blocks
  throw new ConfigError(`\`trusted_proxies\` must be addresses or CIDR blocks, like 10.0.0.0/8, not \`${wrong}\`.`)
}
