/** Whether a policy or a role can be meant, beyond what its schema says. What is in the registry by other ways and is not fit grants nothing. */

import { patternMisfit } from '@holdfast/protocol/patterns'
import type { Conditions, PolicyRecord, RoleRecord } from '../registry/records.ts'
import { parseBlock } from './addresses.ts'
import { builtInRole, roleIdOf } from './roles.ts'

const SUBJECT = /^(\*|(key|iam|oidc|cert|group|service):[^\p{Cc}\p{Cs}]+)$/u

export type Misfit = { field: string; message: string }

/** null: fit. `isRole` says whether there is a custom role of that id, for this instance or for all. */
export function policyMisfit(
  { subjects, roles, locks, conditions }: Pick<PolicyRecord, 'subjects' | 'roles' | 'locks' | 'conditions'>,
  isRole: (id: string) => boolean,
): Misfit | null {
  const subject = subjects.find(text => !SUBJECT.test(text))
  if (subject !== undefined) {
    const forms = '`key:…`, `service:…`, `iam:…`, `oidc:<issuer>:<sub>`, `cert:…`, `group:…` or `*`'
    return { field: 'subjects', message: `A subject is ${forms}; \`${subject}\` is none of these.` }
  }
  const role = rolesMisfit(roles, isRole)
  if (role) return role
  for (const text of locks) {
    const message = patternMisfit(text)
    if (message !== null) return { field: 'locks', message }
  }
  return conditionsMisfit(conditions)
}

/** null: there are such roles. */
export function rolesMisfit(roles: readonly string[], isRole: (id: string) => boolean): Misfit | null {
  const unknown = roles.find(role => !builtInRole(roleIdOf(role)) && !isRole(role))
  return unknown === undefined ? null : { field: 'roles', message: `There is no role \`${unknown}\`.` }
}

/** null: fit. */
export function customRoleMisfit({ id }: Pick<RoleRecord, 'id'>): Misfit | null {
  return builtInRole(id) ? { field: 'id', message: `\`${id}\` is a built-in role.` } : null
}

function conditionsMisfit({ sources }: Conditions): Misfit | null {
  const noBlock = sources?.find(source => parseBlock(source) === null)
  if (noBlock === undefined) return null
  return { field: 'conditions.sources', message: `\`${noBlock}\` is no address and no CIDR block.` }
}
