/** The decision point: IBM's policies, of the type `access`, for subjects by `iam_id`. What the emulator cannot decide it refuses to take. */
import { type Static, Type } from 'typebox'

const closed = { additionalProperties: false } as const
const operators = Type.Union([Type.Literal('stringEquals'), Type.Literal('stringMatch')])
const attribute = Type.Object({ key: Type.String(), operator: operators, value: Type.String() }, closed)

export const policySchema = Type.Object(
  {
    type: Type.Literal('access'),
    description: Type.Optional(Type.String()),
    subject: Type.Object(
      {
        attributes: Type.Array(
          Type.Object({ key: Type.Literal('iam_id'), operator: operators, value: Type.String() }, closed),
          { minItems: 1, maxItems: 1 },
        ),
      },
      closed,
    ),
    resource: Type.Object({ attributes: Type.Array(attribute, { minItems: 1 }) }, closed),
    control: Type.Object(
      {
        grant: Type.Object(
          { roles: Type.Array(Type.Object({ role_id: Type.String() }, closed), { minItems: 1 }) },
          closed,
        ),
      },
      closed,
    ),
  },
  closed,
)
export type Policy = Static<typeof policySchema>

export const questionSchema = Type.Object({
  subject: Type.Object({ attributes: Type.Object({ id: Type.String(), scope: Type.Optional(Type.String()) }) }),
  resource: Type.Object({
    crn: Type.Optional(Type.String()),
    attributes: Type.Optional(Type.Record(Type.String(), Type.String())),
  }),
  action: Type.String(),
})
export type Question = Static<typeof questionSchema>

export type Roles = Readonly<Record<string, readonly string[]>>

const SERVICE = 'go-etcd-lock'
const reader = [
  'lock.read',
  'lock.list',
  'lock.watch',
  'lock.validate',
  'session.open',
  'session.read',
  'session.renew',
  'session.close',
]
const writer = [
  ...reader,
  ...['lock.create', 'lock.acquire', 'lock.renew', 'lock.release', 'lock.transfer', 'lock.write-value'],
  ...['election.campaign', 'election.proclaim', 'election.resign'],
]
const manager = [...writer, ...['lock.delete', 'lock.force-release', 'lock.preempt', 'lock.freeze', 'audit.read']]
const named = (actions: readonly string[]) => actions.map(action => `${SERVICE}.${action}`)

/** What the service roles may do with locks, as the service would have registered them (ECOSYSTEM 1.4). */
export const serviceRoles: Roles = {
  'crn:v1:bluemix:public:iam::::serviceRole:Reader': named(reader),
  'crn:v1:bluemix:public:iam::::serviceRole:Writer': named(writer),
  'crn:v1:bluemix:public:iam::::serviceRole:Manager': named(manager),
}

/** Deny by default. A policy applies when all its attributes do; what the question leaves out matches none. */
export function isPermitted(
  policies: Iterable<Policy>,
  roles: Roles,
  { subject, resource, action }: Question,
): boolean {
  const attributes: Record<string, string> = {
    ...(resource.crn === undefined ? {} : attributesOfCrn(resource.crn)),
    ...resource.attributes,
  }
  for (const policy of policies) {
    const isMeant =
      policy.subject.attributes.every(({ operator, value }) => fits(operator, value, subject.attributes.id)) &&
      policy.resource.attributes.every(({ key, operator, value }) => fits(operator, value, attributes[key]))
    if (isMeant && policy.control.grant.roles.some(({ role_id }) => roles[role_id]?.includes(action))) return true
  }
  return false
}

/**
 * `crn:v1:bluemix:public:SERVICE:REGION:a/ACCOUNT:INSTANCE:TYPE:RESOURCE`. The last part is percent-encoded (ECOSYSTEM 1.1), as policies do not have it;
 * one that was sent as it is may hold colons.
 */
function attributesOfCrn(crn: string): Record<string, string> {
  const [, , , , serviceName = '', region = '', scope = '', serviceInstance = '', resourceType = '', ...rest] =
    crn.split(':')
  const accountId = scope.startsWith('a/') ? scope.slice(2) : ''
  const parts = { serviceName, region, accountId, serviceInstance, resourceType, resource: decoded(rest.join(':')) }
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== ''))
}

/** What is no encoding stands for itself: nothing is permitted by a guess that could not be granted by name. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function fits(operator: 'stringEquals' | 'stringMatch', wanted: string, given: string | undefined): boolean {
  if (given === undefined) return false
  if (operator === 'stringEquals') return wanted === given
  const pattern = wanted
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${pattern}$`, 'su').test(given)
}
