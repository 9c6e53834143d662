/** The built-in roles: what ECOSYSTEM 1.4 says that each may do, and nothing else says it again. Custom ones are records of the registry. */
import { type Action, actions } from '@holdfast/protocol/operation'

const reader = ['lock.read', 'lock.list', 'lock.watch', 'lock.validate'] as const
const writer = [
  ...reader,
  'lock.create',
  'lock.acquire',
  'lock.renew',
  'lock.release',
  'lock.transfer',
  'lock.write-value',
  'session.open',
  'session.read',
  'session.renew',
  'session.close',
  'election.campaign',
  'election.proclaim',
  'election.resign',
] as const
const manager = [...writer, 'lock.delete', 'lock.force-release', 'lock.preempt', 'lock.freeze', 'audit.read'] as const
const viewer = ['instance.read'] as const
const operator = [...viewer, 'instance.enable', 'metrics.read', 'usage.read'] as const
const editor = [
  ...operator,
  'instance.create',
  'instance.update',
  'instance.delete',
  'credential.read',
  'credential.create',
  'credential.update',
  'credential.delete',
] as const
const administrator = [
  ...editor,
  'plan.write',
  'role.read',
  'role.write',
  'policy.read',
  'policy.write',
  'policy.test',
] as const

export type BuiltInRole = {
  title: string
  /** `service`: about locks; `platform`: about the instance itself. */
  kind: 'service' | 'platform'
  actions: readonly Action[]
}

/** By their ids on the wire. Each of a kind has what the one before it has. */
export const builtInRoles = {
  reader: { title: 'Reader', kind: 'service', actions: reader },
  writer: { title: 'Writer', kind: 'service', actions: writer },
  manager: { title: 'Manager', kind: 'service', actions: manager },
  viewer: { title: 'Viewer', kind: 'platform', actions: viewer },
  operator: { title: 'Operator', kind: 'platform', actions: operator },
  editor: { title: 'Editor', kind: 'platform', actions: editor },
  administrator: { title: 'Administrator', kind: 'platform', actions: administrator },
} as const satisfies Record<string, BuiltInRole>
export type BuiltInRoleId = keyof typeof builtInRoles

const byCrn = new Map(
  Object.entries(builtInRoles).map(([id, { title, kind }]) => [
    `crn:v1:bluemix:public:iam::::${kind === 'service' ? 'serviceRole' : 'role'}:${title}`,
    id,
  ]),
)

/** The id of what may be written as one: IBM's CRNs of the built-in roles stand for them. Whether there is such a role is not said. */
export function roleIdOf(text: string): string {
  return byCrn.get(text) ?? text
}

export function builtInRole(id: string): BuiltInRole | null {
  // Own fields only: `constructor` is no role.
  return Object.hasOwn(builtInRoles, id) ? builtInRoles[id as BuiltInRoleId] : null // has just been found there
}

/** What may still be done to an instance that is not active. What is deleted can be restored, or let go for good. */
export const actionsWhile = {
  disabled: new Set<Action>(['instance.read', 'instance.enable']),
  pending_reclamation: new Set<Action>(['instance.read', 'instance.enable', 'instance.delete']),
} as const satisfies Record<string, ReadonlySet<Action>>

/** About the locks of an instance. The other actions are about the instance itself. */
export const tenantActions: ReadonlySet<Action> = new Set(
  actions.filter(action => /^(lock|session|election)\./.test(action)),
)
