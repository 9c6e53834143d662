/** Service keys on the command line: as IBM's services hand them out (`protocol/service-key.ts`), with the authorities that the user has named. */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { HoldfastError, type Rest } from '@holdfast/client'
import { serviceKeyCredentials } from '@holdfast/protocol/service-key'
import type { AccessOptions } from '../access.ts'
import { CommandFailure, exitCodes } from '../exit.ts'
import { printJson } from '../output.ts'
import { type CredentialView, type NewCredential, printNewCredential } from './credentials.ts'
import { type InstanceView, instancePath } from './instances.ts'

export type ServiceKey = {
  credential: CredentialView
  /** null: one that may not be looked at. */
  instance: InstanceView | null
  /** Where the service answers. */
  url: string
  apiKey?: string
  /** File of the authorities that vouch for the service. */
  authorities?: string | undefined
}

export function credentialsOf({ authorities, ...key }: ServiceKey): object {
  const isNamed = authorities !== undefined && key.url.startsWith('https:')
  return serviceKeyCredentials({ ...key, certificate: isNamed ? certificateOf(authorities) : null })
}

/** Of a key that is not new: its secret is nowhere. */
export function serviceKeyView(key: ServiceKey): object {
  const crn = key.instance?.crn.replace(/::$/, `:resource-key:${key.credential.id}`)
  return { ...key.credential, ...(crn && { crn }), credentials: credentialsOf(key) }
}

/** The secret goes to standard output, once, whatever else can be seen by then: nobody can ask for it again. */
export async function showNewCredential(rest: Rest, made: NewCredential, options: AccessOptions): Promise<void> {
  if (!options.json) return printNewCredential(made)
  // The key is made already. Of the instance there are only names to add, and they are left out when they cannot be had.
  const instance = await instanceSeen(rest, made.credential.instance).catch(() => null)
  const credentials = credentialsOf({ ...made, instance, authorities: authoritiesOf(options) })
  printJson({ ...made, credentials })
}

export async function instanceSeen(rest: Rest, id: string): Promise<InstanceView | null> {
  try {
    return await rest.call<InstanceView>('GET', instancePath(id))
  } catch (error) {
    // Who may make keys need not be somebody who may look at the instance.
    if (error instanceof HoldfastError && ['forbidden', 'not_found'].includes(error.code)) return null
    throw error
  }
}

export function authoritiesOf({ ca }: AccessOptions): string | undefined {
  return ca ?? (process.env.HOLDFAST_CA || undefined)
}

/** The subject of who is called by the id of a service id: ours, or one of IBM Cloud IAM. null: it is no such id. */
export function subjectOfServiceId(text: string): string | null {
  const [, id] = /^(?:iam-)?ServiceId-(.+)$/.exec(text) ?? []
  if (id === undefined) return null
  return /^k-[0-9a-z]+$/.test(id) ? `key:${id}` : `iam:iam-ServiceId-${id}`
}

function certificateOf(path: string): { name: string; certificate_base64: string } {
  return { name: basename(path), certificate_base64: fileOf(path).toString('base64') }
}

function fileOf(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new CommandFailure(exitCodes.usage, `The authorities cannot be read: ${why}.`)
  }
}
