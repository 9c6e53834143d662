/**
 * Credentials as IBM's services hand them out (ECOSYSTEM 1.3): what a program that was written for them looks for. The subject of a key plays the part
 * of the service id: keys that rotations have left share it, and policies name it.
 */

/** Instead of a secret that may not be seen; ours nobody can see again. */
export const REDACTED = 'REDACTED'

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
  credential: { name: string; subject: string; instance: string; roles: readonly string[] }
  /** null: one that may not be looked at; what is known of it only there is left out. */
  instance: { account: string; crn: string } | null
  /** Where the service answers. */
  url: string
  apiKey?: string | undefined
  /** Of the authority that vouches for the service. */
  certificate?: { name: string; certificate_base64: string } | null
}

/** Field names are those of the wire already. */
export function serviceKeyCredentials({ credential, instance, url, apiKey, certificate }: ServiceKey): object {
  const roleCrn = credential.roles.map(role => roleCrns[role]).find(crn => crn !== undefined)
  const serviceId = serviceIdOf(credential.subject)
  return {
    apikey: apiKey ?? REDACTED,
    iam_apikey_name: credential.name,
    ...(roleCrn && { iam_role_crn: `crn:v1:bluemix:public:iam::::${roleCrn}` }),
    ...(instance &&
      serviceId && {
        iam_serviceid_crn: `crn:v1:bluemix:public:iam-identity::a/${instance.account}::serviceid:${serviceId}`,
      }),
    ...(instance && { crn: instance.crn }),
    guid: credential.instance,
    url,
    connection: connectionOf(url, certificate ?? null),
  }
}

/** null: somebody that is no key of ours. */
function serviceIdOf(subject: string): string | null {
  return subject.startsWith('key:') ? `ServiceId-${subject.slice('key:'.length)}` : null
}

function connectionOf(url: string, certificate: object | null): object {
  const { protocol, hostname, port, origin } = new URL(url)
  const isSecure = protocol === 'https:'
  // The host of an address of IPv6 stands in brackets in a URL only.
  const place = { hostname: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || (isSecure ? 443 : 80) }
  return {
    [isSecure ? 'https' : 'http']: {
      composed: [`${port === '' ? `${origin}:${place.port}` : origin}/v1`],
      hosts: [place],
      ...(isSecure && certificate && { certificate }),
    },
  }
}
