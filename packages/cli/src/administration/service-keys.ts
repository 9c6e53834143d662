/**
 * Credentials as IBM's services hand them out (ECOSYSTEM 1.3): what a program that was written for them looks for. The subject of a key plays the part
 * of the service id: keys that rotations have left share it, and policies name it.
 */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { HoldfastError, type Rest } from '@holdfast/client'
import type { AccessOptions } from '../access.ts'
import { CommandFailure, exitCodes } from '../exit.ts'
import { printJson } from '../output.ts'
import { type CredentialView, type NewCredential, printNewCredential } from './credentials.ts'
import { type InstanceView, instancePath } from './instances.ts'

/** Instead of a secret that may not be seen; ours nobody can see again. */
const REDACTED = 'REDACTED'

/** Role → the last part of IBM's CRN for it. Own roles have none. */
const roleCrns: Readonly<Record<string, string>> = {
  reader: 'serviceRole:Reader',
  writer: 'serviceRole:Writer',
  manager: 'serviceRole:Manager',
  viewer: 'role:Viewer',
  operator: 'role:Operator',
  editor: 'role:Editor',
  administrator: 'role:Administrator',
}

export type ServiceKey = {
  credential: CredentialView
  /** null: one that may not be looked at; what is known of it only there is left out. */
  instance: InstanceView | null
  /** Where the service answers. */
  url: string
  apiKey?: string
  /** File of the authorities that vouch for the service. */
  authorities?: string | undefined
}

/** Field names are those of the wire already. */
export function credentialsOf({ credential, instance, url, apiKey = REDACTED, authorities }: ServiceKey): object {
  const roleCrn = credential.roles.map(role => roleCrns[role]).find(crn => crn !== undefined)
  const serviceId = serviceIdOf(credential.subject)
  return {
    apikey: apiKey,
    iam_apikey_name: credential.name,
    ...(roleCrn && { iam_role_crn: `crn:v1:bluemix:public:iam::::${roleCrn}` }),
    ...(instance &&
      serviceId && {
        iam_serviceid_crn: `crn:v1:bluemix:public:iam-identity::a/${instance.account}::serviceid:${serviceId}`,
      }),
    ...(instance && { crn: instance.crn }),
    guid: credential.instance,
    url,
    connection: connectionOf(url, authorities),
  }
}

/** Of a key that is not new: its secret is nowhere. */
export function serviceKeyView(key: ServiceKey): object {
  const crn = key.instance?.crn.replace(/::$/, `:resource-key:${key.credential.id}`)
  return { ...key.credential, ...(crn && { crn }), credentials: credentialsOf(key) }
}

/** The secret goes to standard output, once. */
export async function showNewCredential(rest: Rest, made: NewCredential, options: AccessOptions): Promise<void> {
  if (!options.json) return printNewCredential(made)
  const instance = await instanceSeen(rest, made.credential.instance)
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

/** null: somebody that is no key of ours. */
function serviceIdOf(subject: string): string | null {
  return subject.startsWith('key:') ? `ServiceId-${subject.slice('key:'.length)}` : null
}

/** The subject of who is called by the id of a service id: ours, or one of IBM Cloud IAM. null: it is no such id. */
export function subjectOfServiceId(text: string): string | null {
  const [, id] = /^(?:iam-)?ServiceId-(.+)$/.exec(text) ?? []
  if (id === undefined) return null
  return /^k-[0-9a-z]+$/.test(id) ? `key:${id}` : `iam:iam-ServiceId-${id}`
}

function connectionOf(url: string, authorities: string | undefined): object {
  const { protocol, hostname, port, origin } = new URL(url)
  const isSecure = protocol === 'https:'
  // The host of an address of IPv6 stands in brackets in a URL only.
  const place = { hostname: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || (isSecure ? 443 : 80) }
  const certificate =
    isSecure && authorities !== undefined
      ? { name: basename(authorities), certificate_base64: fileOf(authorities).toString('base64') }
      : null
  return {
    [isSecure ? 'https' : 'http']: {
      composed: [`${port === '' ? `${origin}:${place.port}` : origin}/v1`],
      hosts: [place],
      ...(certificate && { certificate }),
    },
  }
}

function fileOf(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new CommandFailure(exitCodes.usage, `The authorities cannot be read: ${why}.`)
  }
}
