/**
 * Our own decision point: roles and policies of the registry, decided in memory. Deny by default.
 *
 * What is granted adds up: a permission by any policy, or by a role of the credential itself, is one; nothing that is granted is taken away
 * by something else. Compiled anew when the registry has changed, so no answer outlives a change that this server knows of. A permission is
 * found without making an object; a denial is put into words, for it is written down.
 */
import { type Action, SERVICE_INSTANCE } from '@holdfast/protocol/operation'
import { compilePattern, coversUnder, matches, mayMatchUnder } from '@holdfast/protocol/patterns'
import type { Identity } from '../auth/identity.ts'
import type { Registry } from '../registry/port.ts'
import type { InstanceRecord, PolicyRecord } from '../registry/records.ts'
import { CompiledInstance, type Grants, type Rule } from './compiled.ts'
import { ttlUnknown } from './conditions.ts'
import type { Decision, DecisionPoint, Question, Unnamed } from './port.ts'
import { actionsWhile, roleIdOf, tenantActions } from './roles.ts'

/** More patterns than that are no help to a list. */
export const LIST_PATTERNS_MAX = 64

const root: Decision = { permitted: true, why: 'The root key permits everything.', policy: null }
const denied = (why: string): Decision => ({ permitted: false, why, policy: null })
const elsewhere = denied('The credential belongs to another instance.')

type Compiled = Map<string, CompiledInstance | null>

/** Follows the registry until `close`. */
export class LocalDecisions implements DecisionPoint {
  readonly #registry: Registry
  readonly #stop: () => void
  #compiled: Compiled = new Map()
  /** By instance; null: not yet sorted out since the last change. */
  #policies: Map<string, PolicyRecord[]> | null = null
  readonly #credentialRoles = new Map<string, Decision>()
  /** Grows whenever anything that a decision rests on may have changed. */
  generation = 0

  constructor(registry: Registry) {
    this.#registry = registry
    this.#stop = registry.onChange(() => {
      this.generation++
      this.#compiled = new Map()
      this.#policies = null
      this.#credentialRoles.clear()
    })
  }

  close(): void {
    this.#stop()
  }

  decide(question: Question): Decision {
    const { identity, instance, action } = question
    if (identity.kind !== 'root' && identity.instance !== null && identity.instance !== instance) return elsewhere
    const inactive = this.#inactive(identity, instance, action)
    if (inactive) return inactive
    if (identity.kind === 'root') return root
    const own = this.compiled(instance)
    const byRole = this.#byOwnRole(identity, own, action)
    if (byRole) return byRole
    const rule = this.#rule(own, question)
    return rule ? rule.permit : new Denial(question, own)
  }

  /** What the instance itself forbids, whoever asks; null: nothing. For decision points that know nothing of instances. */
  closed({ identity, instance, action }: Pick<Question, 'identity' | 'instance' | 'action'>): Decision | null {
    if (identity.instance !== null && identity.instance !== instance) return elsewhere
    return this.#inactive(identity, instance, action)
  }

  mayAny(question: Unnamed & { prefix: string }): boolean {
    const patterns = this.#permittedPatterns(question)
    return patterns === null || patterns.some(text => mayMatchUnder(compilePattern(text), question.prefix))
  }

  patterns(question: Unnamed): readonly string[] | null {
    const patterns = this.#permittedPatterns(question)
    return patterns === null || patterns.length > LIST_PATTERNS_MAX ? null : patterns
  }

  mayEnter({ identity, instance }: Omit<Unnamed, 'action'>): boolean {
    if (identity.kind === 'root') return true
    if (identity.instance !== null) return identity.instance === instance
    if (!this.#exists(instance)) return false
    return this.compiled(instance)?.names(identity) ?? false
  }

  /** For explanations too. */
  compiled(instance: string): CompiledInstance | null {
    let compiled = this.#compiled.get(instance)
    if (compiled !== undefined) return compiled
    this.#policies ??= Map.groupBy(this.#registry.all('policy'), policy => policy.instance)
    compiled = this.#exists(instance)
      ? new CompiledInstance(this.#registry, instance, this.#policies.get(instance) ?? [])
      : null
    // Names that lead nowhere are not kept: a caller can think of any number of them.
    if (compiled) this.#compiled.set(instance, compiled)
    return compiled
  }

  #exists(instance: string): boolean {
    return this.#registry.get('instance', instance) !== null || instance === SERVICE_INSTANCE
  }

  /** null: the state of the instance keeps nobody from this. */
  #inactive({ kind }: Identity, instance: string, action: Action): Decision | null {
    const record = this.#registry.get('instance', instance)
    // The one that is always there need not have a record.
    if (!record) {
      // The trail outlives its instance; whether there was one, whoever reads the trail finds out.
      const isThere = instance === SERVICE_INSTANCE || (kind === 'root' && action === 'audit.read')
      return isThere ? null : denied('There is no such instance.')
    }
    if (record.state === 'active' || actionsWhile[record.state].has(action)) return null
    if (kind === 'root' && !tenantActions.has(action)) return null
    return denied(inactiveMessages[record.state])
  }

  #byOwnRole(identity: Identity, own: CompiledInstance | null, action: Action): Decision | null {
    if (identity.instance === null) return null
    for (const role of identity.roles) if (own?.roleActions(role)?.has(action)) return this.#permitBy(role)
    return null
  }

  #permitBy(role: string): Decision {
    let decision = this.#credentialRoles.get(role)
    if (!decision) {
      decision = { permitted: true, why: `Role \`${roleIdOf(role)}\` of the credential.`, policy: null }
      this.#credentialRoles.set(role, decision)
    }
    return decision
  }

  #rule(compiled: CompiledInstance | null, question: Question): Rule | null {
    if (!compiled) return null
    const { identity, action } = question
    let rule = find(compiled.ofSubject(identity.subject, action), question)
    for (let index = 0; !rule && index < identity.groups.length; index++)
      rule = find(compiled.ofGroup(identity.groups[index]!, action), question)
    return rule ?? find(compiled.ofSubject('*', action), question)
  }

  /** All patterns of names for which the conditions hold; null: every name is permitted. */
  #permittedPatterns(question: Unnamed): string[] | null {
    const whole = this.decide({ ...question, lock: '', isPrefix: true })
    if (whole.permitted) return null
    const { identity, instance, action } = question
    const found = new Set<string>()
    const blocked = identity.instance !== null && identity.instance !== instance
    if (blocked || this.#inactive(identity, instance, action)) return []
    const compiled = this.compiled(instance)
    for (const grants of compiled ? grantsOf(compiled, identity, action) : [])
      for (const rule of grants.rules)
        if (holds(rule, question)) for (const pattern of rule.policy.locks) found.add(pattern)
    return [...found]
  }
}

/** Said in words only when somebody wants to know: a watch that hides a thousand events a second does not. */
class Denial implements Decision {
  readonly permitted = false
  readonly policy = null
  readonly #question: Question
  readonly #compiled: CompiledInstance | null

  constructor(question: Question, compiled: CompiledInstance | null) {
    this.#question = question
    this.#compiled = compiled
  }

  get needsTtl(): boolean {
    return this.#first(rule => failedCheck(rule, this.#question) === ttlUnknown) !== null
  }

  get condition(): string | null {
    const rule = this.#first(() => true)
    return rule && failedCheck(rule, this.#question)
  }

  get why(): string {
    const { action, lock } = this.#question
    const rule = this.#first(() => true)
    if (rule) return `Policy \`${rule.policy.id}\`: ${failedCheck(rule, this.#question) ?? 'it has changed since.'}`
    return lock === null ? `No role grants \`${action}\`.` : `No role grants \`${action}\` on this name.`
  }

  /** Of those that would have permitted it, but for their conditions. */
  #first(isWanted: (rule: Rule) => boolean): Rule | null {
    const { identity, action } = this.#question
    for (const grants of this.#compiled ? grantsOf(this.#compiled, identity, action) : []) {
      const rule = find(grants, this.#question, isWanted)
      if (rule) return rule
    }
    return null
  }
}

const inactiveMessages = {
  disabled: 'The instance is disabled.',
  pending_reclamation: 'The instance is deleted and awaits its reclamation.',
} as const satisfies Record<Exclude<InstanceRecord['state'], 'active'>, string>

function* grantsOf(compiled: CompiledInstance, identity: Identity, action: Action): Iterable<Grants> {
  const all = [
    compiled.ofSubject(identity.subject, action),
    ...identity.groups.map(group => compiled.ofGroup(group, action)),
    compiled.ofSubject('*', action),
  ]
  for (const grants of all) if (grants) yield grants
}

function find(grants: Grants | null, question: Question, passes: typeof holds = holds): Rule | null {
  if (!grants) return null
  const { lock } = question
  if (lock !== null && !question.isPrefix) return grants.byName.find(lock, passes, question)
  for (const rule of grants.rules) if (isAbout(rule.policy, question) && passes(rule, question)) return rule
  return null
}

/**
 * Whether the policy's patterns are about what is asked. Sessions are needed for any lock; what concerns the instance as a whole, its trail
 * too, is granted only by a policy that is for all of its names.
 */
export function isAbout(
  { locks }: PolicyRecord,
  { action, lock, isPrefix }: Pick<Question, 'action' | 'lock' | 'isPrefix'>,
): boolean {
  if (lock === null) return tenantActions.has(action) || locks.some(text => coversUnder(compilePattern(text), ''))
  return locks.some(text => {
    const pattern = compilePattern(text)
    return isPrefix ? coversUnder(pattern, lock) : matches(pattern, lock)
  })
}

export function holds(rule: Rule, question: Unnamed): boolean {
  for (const check of rule.checks) if (check(question) !== null) return false
  return true
}

/** In words; null: all hold. */
export function failedCheck(rule: Pick<Rule, 'checks'>, question: Unnamed): string | null {
  for (const check of rule.checks) {
    const failed = check(question)
    if (failed !== null) return failed
  }
  return null
}
