/**
 * The remote decision point: IBM's PDP (ECOSYSTEM 1.5), for those who prove themselves by tokens of IBM Cloud IAM.
 *
 * Asked once, an answer is kept for a while, a permit longer than a denial; equal questions that are asked at once are one, and different ones go
 * out together. While the decision point does not answer, what it has said before is served until `STALE_MS_MAX` after it was said; nothing else is
 * permitted, and that is called unknown and not denied: an outage must not look as if somebody's rights were gone. What it is not asked: whether the instance is active and of the account that the token is for. That is known here, and decided first.
 */
import { type Action, SERVICE_INSTANCE } from '@holdfast/protocol/operation'
import type { Clock } from '../clock.ts'
import { type Random, randomHex } from '../random.ts'
import type { Registry } from '../registry/port.ts'
import { type Authz, type AuthzQuestion, askAuthz } from './authz.ts'
import { type Decision, type DecisionPoint, type Question, type Unnamed, type Verdict, verdictOf } from './port.ts'

/** A permit is not asked about again for so long: what is taken away there is felt here after it at the latest. */
export const PERMIT_MS_MAX = 30_000
/** Shorter: whoever has just been granted something is waiting for it. */
export const DENIAL_MS_MAX = 5_000
/** While the decision point does not answer, what it said is served until then. */
export const STALE_MS_MAX = 10 * 60_000
/** Some 300 bytes each. */
export const DECISIONS_KEPT_MAX = 50_000
/** Questions in one request. */
export const AUTHZ_QUESTIONS_MAX = 100
/** Questions that wait to be sent, or for their answers; more are not decided. */
export const UNDECIDED_QUESTIONS_MAX = 10_000
/** After a failure it is left alone for so long: nobody waits for what will not come. */
const PAUSE_MS = 1_000

type Kept = { decision: Decision; saidMs: number }
type Waiting = { key: string; question: AuthzQuestion; settle(decision: Decision): void }

export type RemoteOptions = {
  authz: Authz
  /** As the catalogue calls the service: the first part of actions. */
  serviceName: string
  registry: Pick<Registry, 'get'>
  clock: Pick<Clock, 'after' | 'hrtimeMs'>
  random: Random
  /** Never given a secret. */
  warn(message: string, fields: Record<string, unknown>): void
}

const permitted: Decision = { permitted: true, why: 'The remote decision point permits it.', policy: null }
const denied = (why: string): Decision => ({ permitted: false, why, policy: null })
const refused = denied('The remote decision point does not permit it.')
const unknown = (why: string): Decision => ({ ...denied(why), isUnknown: true })
const unreachable = unknown('The remote decision point does not answer.')
const tooMany = unknown('Too many questions wait for the remote decision point.')
const foreign = denied('The token is for another account than the instance.')

export class RemoteDecisions implements DecisionPoint {
  readonly #options: RemoteOptions
  /** The oldest first. */
  readonly #kept = new Map<string, Kept>()
  readonly #asked = new Map<string, Promise<Decision>>()
  #waiting: Waiting[] = []
  #pausedUntilMs = Number.NEGATIVE_INFINITY

  constructor(options: RemoteOptions) {
    this.#options = options
  }

  decide({ identity, instance, action, lock, isPrefix }: Question): Decision | Promise<Decision> {
    if (!this.#isOfAccount(identity.account, instance)) return foreign
    // To do something to all names under a prefix one must be permitted it on all of the instance: nothing finer can be asked there.
    const resource = isPrefix ? null : lock
    return this.#answer(this.#questionOf({ identity, instance, action }, resource))
  }

  /** What is granted on patterns within the prefix is not found by this: the prefix must be one that a pattern covers. */
  mayAny({ prefix, ...asked }: Unnamed & { prefix: string }): Verdict | Promise<Verdict> {
    if (!this.#isOfAccount(asked.identity.account, asked.instance)) return false
    const answers = [null, `${prefix}*`].map(resource => this.#answer(this.#questionOf(asked, resource)))
    const known = answers.filter((answer): answer is Decision => !(answer instanceof Promise))
    if (known.some(answer => answer.permitted)) return true
    if (known.length === answers.length) return anyOf(known)
    return Promise.all(answers).then(anyOf)
  }

  patterns(): null {
    return null
  }

  mayEnter({ identity, instance }: Omit<Unnamed, 'action'>): boolean {
    return this.#isOfAccount(identity.account, instance)
  }

  #isOfAccount(account: string | null, instance: string): boolean {
    const record = this.#options.registry.get('instance', instance)
    return record ? account === record.account : instance === SERVICE_INSTANCE
  }

  #questionOf(
    { identity, instance, action }: Pick<Unnamed, 'identity' | 'instance'> & { action: Action },
    resource: string | null,
  ): AuthzQuestion {
    const { serviceName, registry } = this.#options
    const record = registry.get('instance', instance)
    const attributes: Record<string, string> = { serviceName, serviceInstance: instance }
    if (record) Object.assign(attributes, { accountId: record.account, region: record.region })
    if (resource !== null) Object.assign(attributes, { resourceType: 'lock', resource })
    const subject: AuthzQuestion['subject'] = { attributes: { id: identity.subject.replace(/^iam:/, '') } }
    if (identity.scope !== null) subject.attributes.scope = identity.scope
    return { subject, resource: { attributes }, action: `${serviceName}.${action}` }
  }

  #answer(question: AuthzQuestion): Decision | Promise<Decision> {
    const key = JSON.stringify(question)
    const nowMs = this.#options.clock.hrtimeMs()
    const kept = this.#kept.get(key)
    if (kept && nowMs - kept.saidMs < (kept.decision.permitted ? PERMIT_MS_MAX : DENIAL_MS_MAX)) return kept.decision
    if (nowMs < this.#pausedUntilMs) return this.#stale(key)
    const asked = this.#asked.get(key)
    if (asked) return asked
    if (this.#asked.size >= UNDECIDED_QUESTIONS_MAX) return kept ? this.#stale(key) : tooMany
    const answer = new Promise<Decision>(settle => this.#enqueue({ key, question, settle }))
    this.#asked.set(key, answer)
    return answer
  }

  #enqueue(waiting: Waiting): void {
    this.#waiting.push(waiting)
    // What is asked in one go leaves together.
    if (this.#waiting.length === 1) queueMicrotask(() => this.#flush())
    else if (this.#waiting.length >= AUTHZ_QUESTIONS_MAX) this.#flush()
  }

  #flush(): void {
    const batch = this.#waiting
    this.#waiting = []
    if (batch.length > 0) void this.#send(batch)
  }

  async #send(batch: readonly Waiting[]): Promise<void> {
    const { authz, clock, random, warn } = this.#options
    const transaction = randomHex(random, 16)
    let answers: readonly (boolean | null)[] | null = null
    try {
      const questions = batch.map(({ question }) => question)
      answers = await askAuthz(authz, questions, { transaction, clock })
    } catch (error) {
      this.#pausedUntilMs = clock.hrtimeMs() + PAUSE_MS
      warn('the remote decision point does not answer', { transaction, err: error })
    }
    for (const [index, { key, settle }] of batch.entries()) {
      const isPermitted = answers?.[index] ?? null
      this.#asked.delete(key)
      if (isPermitted === null) settle(this.#stale(key))
      else settle(this.#keep(key, isPermitted ? permitted : refused))
    }
  }

  #keep(key: string, decision: Decision): Decision {
    this.#kept.delete(key)
    this.#kept.set(key, { decision, saidMs: this.#options.clock.hrtimeMs() })
    if (this.#kept.size > DECISIONS_KEPT_MAX) {
      const [oldest] = this.#kept.keys()
      if (oldest !== undefined) this.#kept.delete(oldest)
    }
    return decision
  }

  #stale(key: string): Decision {
    const kept = this.#kept.get(key)
    if (kept && this.#options.clock.hrtimeMs() - kept.saidMs < STALE_MS_MAX) return kept.decision
    return unreachable
  }
}

function anyOf(answers: readonly Decision[]): Verdict {
  const verdicts = answers.map(verdictOf)
  return verdicts.includes(true) || (verdicts.includes(null) ? null : false)
}
