/** Where the service is and how to be let in. The key never comes from the command line, where every user of the machine could read it. */
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import * as tls from 'node:tls'
import { type ApiKey, type ConnectOptions, connect, type Holdfast, iamTokens } from '@holdfast/client'
import type { Command } from 'commander'
import { CommandFailure, exitCodes } from './exit.ts'

export type AccessOptions = { url?: string; apiKeyFile?: string; ca?: string; instance?: string; json?: boolean }

const URL_DEFAULT = 'http://127.0.0.1:7420'
/** Where a server that was started in this directory with its defaults keeps its key. */
const ROOT_KEY_FILE = 'data/root.key'
/** A person waits at the prompt. */
const CONNECT_MS_MAX = 5_000

/** Adds the options; returns the command. */
export function withAccess(command: Command, { json } = { json: 'print JSON' }): Command {
  return withServers(command)
    .option(
      '--instance <id>',
      'which instance, by id or name, for a key that is not of one (default: $HOLDFAST_INSTANCE)',
    )
    .option('--json', json)
}

/** Of commands that ask servers about themselves, which no instance has a part in. */
export function withServers(command: Command): Command {
  return command
    .option('--url <url>', `where the service listens (default: $HOLDFAST_URL, else ${URL_DEFAULT})`)
    .option('--api-key-file <file>', `file with the API key (default: $HOLDFAST_API_KEY, else ./${ROOT_KEY_FILE})`)
    .option(
      '--ca <file>',
      'authorities that the service is trusted by, beside those of the system (default: $HOLDFAST_CA)',
    )
}

export function urlOf(options: AccessOptions): string {
  return options.url ?? (process.env.HOLDFAST_URL || URL_DEFAULT)
}

/** Of the first of them, where there are several: whichever answers, it is the same service. */
export function hostOf(options: AccessOptions): string {
  const url = urlOf(options).split(',')[0]?.trim() ?? ''
  if (URL.canParse(url)) return new URL(url).hostname
  throw new CommandFailure(exitCodes.usage, `The service's address is no URL: ${JSON.stringify(url)}.`)
}

/** Before anything is asked: who may vouch for the service. */
export function trust(options: AccessOptions): void {
  const file = options.ca ?? process.env.HOLDFAST_CA
  if (!file) return
  // Since Node 22.19; before, only the environment says it, and only before the start.
  if (typeof tls.setDefaultCACertificates !== 'function')
    throw new CommandFailure(exitCodes.usage, `This version of Node needs NODE_EXTRA_CA_CERTS=${file} instead of --ca.`)
  try {
    const bundle = readFileSync(file, 'utf8')
    tls.setDefaultCACertificates([...tls.getCACertificates('default'), bundle])
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new CommandFailure(exitCodes.usage, `The authorities cannot be read: ${why}.`)
  }
}

/** undefined: there is none to be found, and the service will say so. */
export function apiKeyOf(options: AccessOptions): ApiKey | undefined {
  if (options.apiKeyFile !== undefined) return readKey(options.apiKeyFile)
  const { HOLDFAST_IAM_API_KEY: iamKey, HOLDFAST_IAM_URL: iamUrl } = process.env
  if (iamKey) return iamTokens({ apiKey: iamKey, ...(iamUrl ? { url: iamUrl } : {}) })
  if (process.env.HOLDFAST_API_KEY) return process.env.HOLDFAST_API_KEY
  try {
    return readFileSync(ROOT_KEY_FILE, 'utf8').trim()
  } catch {
    // There need not be a server that was started here.
    return undefined
  }
}

function readKey(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new CommandFailure(exitCodes.usage, `The API key cannot be read: ${why}.`)
  }
}

/** Connects; closed when the work is done, however it ends. */
export async function withHoldfast<Result>(
  options: AccessOptions,
  work: (holdfast: Holdfast) => Promise<Result>,
  more: ConnectOptions = {},
): Promise<Result> {
  trust(options)
  const apiKey = apiKeyOf(options)
  const holdfast = connect({
    url: urlOf(options),
    connectTimeoutMs: CONNECT_MS_MAX,
    name: `${hostname()}:${process.pid}`,
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(options.instance === undefined ? {} : { instance: options.instance }),
    ...more,
  })
  try {
    return await work(holdfast)
  } finally {
    await holdfast.close()
  }
}
