/** Why something is permitted or not, policy by policy: for `holdfast policy test`, and for those who may read policies. */
import type { PolicyRecord } from '../registry/records.ts'
import type { CompiledInstance } from './compiled.ts'
import { failedCheck, isAbout, type LocalDecisions } from './decisions.ts'
import type { Decision, Question } from './port.ts'
import { roleIdOf } from './roles.ts'

/** One answer shows no more; what decided is among them, or named in `why`. */
export const EXPLAINED_POLICIES_MAX = 1_000

export type Considered = {
  policy: string
  permits: boolean
  why: string
}
export type Explanation = Pick<Decision, 'permitted' | 'why' | 'policy'> & {
  /** Roles that the credential itself carries. */
  roles: { role: string; permits: boolean; why: string }[]
  /** Those that permit it come first. */
  policies: Considered[]
}

export function explain(decisions: LocalDecisions, question: Question): Explanation {
  const { permitted, why, policy } = decisions.decide(question)
  const policies: Considered[] = []
  const compiled = decisions.compiled(question.instance)
  for (const record of compiled?.all() ?? []) policies.push(considered(compiled!, record, question))
  policies.sort((one, other) => Number(other.permits) - Number(one.permits))
  return {
    permitted,
    why,
    policy,
    roles: ownRoles(decisions, question),
    policies: policies.slice(0, EXPLAINED_POLICIES_MAX),
  }
}

function ownRoles(decisions: LocalDecisions, { identity, instance, action }: Question): Explanation['roles'] {
  return identity.roles.map(id => {
    const role = roleIdOf(id)
    if (identity.instance !== instance) return { role, permits: false, why: 'It is of another instance.' }
    const known = decisions.compiled(instance)?.roleActions(id)
    if (!known) return { role, permits: false, why: 'There is no such role.' }
    const permits = known.has(action)
    return { role, permits, why: permits ? `It has \`${action}\`.` : `It has not \`${action}\`.` }
  })
}

function considered(compiled: CompiledInstance, record: PolicyRecord, question: Question): Considered {
  const why = whyNot(compiled, record, question)
  return { policy: record.id, permits: why === null, why: why ?? 'Everything fits.' }
}

/** The first thing that does not fit, in the order in which people think of them. */
function whyNot(compiled: CompiledInstance, record: PolicyRecord, question: Question): string | null {
  const { identity, instance, action } = question
  if (identity.kind !== 'root' && identity.instance !== null && identity.instance !== instance)
    return 'The credential belongs to another instance.'
  const names = new Set(compiled.namesOf(identity))
  if (!record.subjects.some(subject => names.has(subject)))
    return `It is for ${record.subjects.map(subject => `\`${subject}\``).join(', ')}.`
  const granting = record.roles.find(role => compiled.roleActions(role)?.has(action))
  if (granting === undefined)
    return `None of its roles (${record.roles.map(role => `\`${roleIdOf(role)}\``).join(', ')}) has \`${action}\`.`
  if (!isAbout(record, question))
    return `None of its patterns (${record.locks.map(text => `\`${text}\``).join(', ')}) ${wanted(question)}.`
  return failedCheck({ checks: compiled.checksOf(record) }, question)
}

function wanted({ lock, isPrefix }: Question): string {
  if (lock === null) return 'is for all names, as what concerns the whole instance needs'
  return isPrefix ? `covers all names that begin with \`${lock}\`` : `matches \`${lock}\``
}
