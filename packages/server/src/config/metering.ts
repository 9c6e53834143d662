/** Where usage is submitted for billing. */
import { ConfigError } from './values.ts'

export type MeteringConfig = {
  /** Base of the metering service. */
  url: string
  /** Read anew for each submission: tokens last an hour. */
  tokenFile: string
}

export const meteringSettings = [
  {
    name: 'metering_url',
    default: '',
    help: "Where each closed hour's usage is submitted in IBM's metering format, like https://billing.cloud.ibm.com; empty: nowhere.",
  },
  {
    name: 'metering_token_file',
    default: '',
    help: 'File with the bearer token for that, kept fresh by others: it is read for each submission.',
  },
] as const

export type MeteringSetting = (typeof meteringSettings)[number]['name']

/** null: nothing is submitted. @throws ConfigError */
export function meteringOf(get: (name: MeteringSetting) => string): MeteringConfig | null {
  const url = get('metering_url')
  const tokenFile = get('metering_token_file')
  if (url === '' && tokenFile === '') return null
  if (url === '' || tokenFile === '')
    throw new ConfigError('`metering_url` and `metering_token_file` belong together: give both or neither.')
  const parsed = URL.canParse(url) ? new URL(url) : null
  const isPlainLocal = parsed?.protocol === 'http:' && ['127.0.0.1', 'localhost', '[::1]'].includes(parsed.hostname)
  if (!parsed || (parsed.protocol !== 'https:' && !isPlainLocal))
    throw new ConfigError('`metering_url` must begin with https://; http:// is for this machine alone.')
  return { url, tokenFile }
}
