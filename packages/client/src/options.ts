/** What `connect` may be told, and what it assumes. */
import { HoldfastError } from '@holdfast/protocol/errors'
import { TTL_MS_DEFAULT, TTL_MS_MAX, TTL_MS_MIN } from '@holdfast/protocol/limits'
import { type ApiKey, Credential } from './credential.ts'
import { type Names, refuseUnknown } from './option-names.ts'
import type { WebSocketClass } from './transport.ts'

/** What happens to a connection, for logs and metrics. Nothing depends on its being heard. */
export type SessionEvent =
  | { type: 'session_opened' | 'session_resumed'; session: string; server: string }
  /** Another session has transferred a lock to this one: `adopt` it. */
  | { type: 'received'; lock: string; token: number }
  | { type: 'disconnected' | 'session_ended'; why: string }
  | { type: 'refused' | 'renewal_failed' | 'release_failed' | 'listener_failed' | 'lock_lost'; error: unknown }

export type ConnectOptions = {
  /**
   * Where the service listens: one URL, or those of several servers of one cluster (a list, or a text with commas), any of which will do. Default:
   * `HOLDFAST_URL`, else `http://127.0.0.1:7420`.
   */
  url?: string | readonly string[]
  /**
   * Default: `HOLDFAST_API_KEY`. For tokens that expire, a function that answers with the one to use now: it is called before each connection and
   * each call over REST. `iamTokens` makes one for IBM Cloud IAM.
   */
  apiKey?: ApiKey
  /** Id of the instance, for a credential that is not of one. Default: `HOLDFAST_INSTANCE`, else what the credential says. */
  instance?: string
  /** How long the session outlives its last sign of life, in ms. Default 15 s. Renewed by itself: this is not how long a lock can be held. */
  ttlMs?: number
  /** What this holder is called by people. Default: its session's id. */
  name?: string
  labels?: Record<string, string>
  /** How long to try to reach the service at first before requests fail. Default 10 s. Later outages are waited out. */
  connectTimeoutMs?: number
  /** Another fetch than the platform's own. */
  fetch?: typeof fetch
  /** Another WebSocket than the platform's own. */
  WebSocket?: WebSocketClass
  onEvent?: (event: SessionEvent) => void
}

const connectNames: Names<ConnectOptions> = {
  url: true,
  apiKey: true,
  instance: true,
  ttlMs: true,
  name: true,
  labels: true,
  connectTimeoutMs: true,
  fetch: true,
  WebSocket: true,
  onEvent: true,
}

/** Throws when one of them is not known. */
export function checkConnectOptions(options: ConnectOptions): void {
  refuseUnknown('connect()', options, connectNames)
}

export type SessionOptions = {
  /** As it was given, for people. */
  url: string
  socketUrls: readonly string[]
  credential: Credential
  instance: string | undefined
  ttlMs: number
  labels: Record<string, string> | undefined
  connectTimeoutMs: number
  onEvent: ((event: SessionEvent) => void) | undefined
}

const URL_DEFAULT = 'http://127.0.0.1:7420'
const CONNECT_MS_MAX = 10_000

/** The base addresses without trailing slashes, from the option, the environment, or the default. There is at least one. */
export function baseUrlsOf(options: ConnectOptions): string[] {
  const given = options.url ?? environment('HOLDFAST_URL') ?? URL_DEFAULT
  const texts = typeof given === 'string' ? given.split(',').map(text => text.trim()) : [...given]
  if (texts.length === 0) texts.push('')
  for (const text of texts) {
    if (isBase(text)) continue
    throw new HoldfastError(
      'invalid_request',
      `The address ${JSON.stringify(text)} is not an http or https URL of a host and perhaps a path; an example: ${URL_DEFAULT}.`,
    )
  }
  return texts.map(text => text.replace(/\/+$/, ''))
}

/** What stands behind a path would be lost, or in the way of it; and a password in an address is in every log. */
function isBase(text: string): boolean {
  if (!URL.canParse(text) || /[?#]/.test(text)) return false
  const { protocol, username, password } = new URL(text)
  return /^https?:$/.test(protocol) && username === '' && password === ''
}

export function socketUrlOf(url: string): string {
  return `${url.replace(/^http/, 'ws')}/v2/connect`
}

export function credentialOf(options: ConnectOptions): Credential {
  return new Credential(options.apiKey ?? environment('HOLDFAST_API_KEY'))
}

export function instanceOf(options: ConnectOptions): string | undefined {
  return options.instance ?? environment('HOLDFAST_INSTANCE')
}

export function sessionOptionsOf(options: ConnectOptions, credential = credentialOf(options)): SessionOptions {
  const ttlMs = options.ttlMs ?? TTL_MS_DEFAULT
  if (!(ttlMs >= TTL_MS_MIN && ttlMs <= TTL_MS_MAX)) {
    throw new HoldfastError('invalid_request', `ttlMs must be from ${TTL_MS_MIN} to ${TTL_MS_MAX} ms, not ${ttlMs}.`)
  }
  const labels = options.name === undefined ? options.labels : { ...options.labels, holder: options.name }
  const urls = baseUrlsOf(options)
  return {
    url: urls.join(', '),
    socketUrls: urls.map(socketUrlOf),
    credential,
    instance: instanceOf(options),
    ttlMs,
    labels,
    connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_MS_MAX,
    onEvent: options.onEvent && guarded(options.onEvent),
  }
}

/** Nothing here depends on the listener: what it throws would go to whoever happens to be on the stack, and it is the one that would be told of it. */
function guarded(listener: (event: SessionEvent) => void): (event: SessionEvent) => void {
  return event => {
    try {
      listener(event)
    } catch {
      // As above.
    }
  }
}

function environment(name: string): string | undefined {
  // The same global object; a browser has no process.
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } }
  try {
    const value = process?.env?.[name]
    return value === '' ? undefined : value
  } catch {
    // Deno without `--allow-env` refuses to tell: as if it were not set.
    return undefined
  }
}
