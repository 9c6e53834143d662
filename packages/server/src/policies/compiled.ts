/**
 * What is granted in one instance, in the form in which it is asked for: by who asks and what for. A record costs nothing until somebody asks
 * who it concerns; then what concerns that subject and that action is laid out once, until the records change.
 */
import type { Action } from '@holdfast/protocol/operation'
import type { Identity } from '../auth/identity.ts'
import type { Registry } from '../registry/port.ts'
import { keyWithin, type PolicyRecord } from '../registry/records.ts'
import { type Check, compileConditions } from './conditions.ts'
import { Lookup } from './lookup.ts'
import type { Decision } from './port.ts'
import { builtInRole, roleIdOf } from './roles.ts'

/** One policy, for one subject and one action. */
export type Rule = { policy: PolicyRecord; checks: readonly Check[]; permit: Decision }
/** All rules of one subject for one action, those without conditions first. */
export type Grants = { rules: readonly Rule[]; byName: Lookup<Rule> }

/** `group:ops`, as a policy names it. */
export const groupSubject = (group: string) => (group.startsWith('group:') ? group : `group:${group}`)

export class CompiledInstance {
  readonly #registry: Registry
  readonly #instance: string
  readonly #all: readonly PolicyRecord[]
  /** By a subject as policies name it. */
  readonly #policies = new Map<string, PolicyRecord[]>()
  /** By the group as an identity names it: no text is put together on the way to a decision. */
  readonly #groups = new Map<string, Map<Action, Grants | null>>()
  readonly #subjects = new Map<string, Map<Action, Grants | null>>()
  readonly #roles = new Map<string, ReadonlySet<Action>>()
  readonly #checks = new Map<PolicyRecord, Check[]>()

  constructor(registry: Registry, instance: string, policies: readonly PolicyRecord[]) {
    this.#registry = registry
    this.#instance = instance
    this.#all = policies
    for (const policy of policies) {
      for (const subject of new Set(policy.subjects)) {
        const others = this.#policies.get(subject)
        if (others) others.push(policy)
        else this.#policies.set(subject, [policy])
      }
    }
  }

  /** What is granted to the subject by its name; null: nothing. */
  ofSubject(subject: string, action: Action): Grants | null {
    // Looked for by the text that policies use; nobody who was let in is called like a group, or `*`.
    return this.#grants(this.#subjects, subject, subject, action)
  }

  ofGroup(group: string, action: Action): Grants | null {
    return this.#grants(this.#groups, group, null, action)
  }

  /** null: there is no such role here. */
  roleActions(role: string): ReadonlySet<Action> | null {
    const known = this.#roles.get(role)
    if (known) return known
    const found = actionsOfRole(this.#registry, this.#instance, role)
    if (found) this.#roles.set(role, found)
    return found
  }

  /** Whether any policy names the identity, whatever it grants. */
  names(identity: Identity): boolean {
    return this.namesOf(identity).some(name => this.#policies.has(name))
  }

  /** What policies may call the identity. */
  namesOf({ subject, groups }: Identity): string[] {
    return [subject, ...groups.map(groupSubject), '*']
  }

  all(): readonly PolicyRecord[] {
    return this.#all
  }

  checksOf(policy: PolicyRecord): readonly Check[] {
    let checks = this.#checks.get(policy)
    if (!checks) {
      checks = compileConditions(policy.conditions)
      this.#checks.set(policy, checks)
    }
    return checks
  }

  #grants(
    from: Map<string, Map<Action, Grants | null>>,
    key: string,
    subject: string | null,
    action: Action,
  ): Grants | null {
    let byAction = from.get(key)
    if (byAction) {
      const known = byAction.get(action)
      if (known !== undefined) return known
    }
    const policies = this.#policies.get(subject ?? groupSubject(key))
    // Nothing is kept for those whom no policy names: there is no end of them.
    if (!policies) return null
    if (!byAction) {
      byAction = new Map()
      from.set(key, byAction)
    }
    const grants = this.#layOut(policies, action)
    byAction.set(action, grants)
    return grants
  }

  #layOut(policies: readonly PolicyRecord[], action: Action): Grants | null {
    const rules: Rule[] = []
    for (const policy of policies) {
      const role = policy.roles.find(id => this.roleActions(id)?.has(action))
      if (role === undefined) continue
      const why = `Role \`${roleIdOf(role)}\` by policy \`${policy.id}\`.`
      rules.push({ policy, checks: this.checksOf(policy), permit: { permitted: true, why, policy: policy.id } })
    }
    if (rules.length === 0) return null
    rules.sort((one, other) => one.checks.length - other.checks.length)
    return { rules, byName: new Lookup(rules.map(rule => ({ rule, patterns: rule.policy.locks }))) }
  }
}

/** Built in, or a custom one of the instance or of all instances. */
export function actionsOfRole(registry: Registry, instance: string, role: string): ReadonlySet<Action> | null {
  const id = roleIdOf(role)
  const builtIn = builtInRole(id)
  if (builtIn) return new Set(builtIn.actions)
  const custom = registry.get('role', keyWithin(instance, id)) ?? registry.get('role', keyWithin(null, id))
  return custom && new Set(custom.actions)
}
