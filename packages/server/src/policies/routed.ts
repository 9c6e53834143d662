/**
 * Who decides for whom, when there is a remote decision point: it decides for those whom IBM Cloud IAM knows, and our own roles and policies for all
 * others (the root key, API keys, other issuers, certificates). Never both for one: what is taken away in one place is gone.
 */
import type { LocalDecisions } from './decisions.ts'
import type { Decision, DecisionPoint, Question, Unnamed, Verdict } from './port.ts'

export class RoutedDecisions implements DecisionPoint {
  readonly #local: LocalDecisions
  readonly #remote: DecisionPoint

  constructor({ local, remote }: { local: LocalDecisions; remote: DecisionPoint }) {
    this.#local = local
    this.#remote = remote
  }

  decide(question: Question): Decision | Promise<Decision> {
    if (!isOfIam(question)) return this.#local.decide(question)
    return this.#local.closed(question) ?? this.#remote.decide(question)
  }

  mayAny(question: Unnamed & { prefix: string }): Verdict | Promise<Verdict> {
    if (!isOfIam(question)) return this.#local.mayAny(question)
    return this.#local.closed(question) === null ? this.#remote.mayAny(question) : false
  }

  patterns(question: Unnamed): readonly string[] | null {
    return isOfIam(question) ? this.#remote.patterns(question) : this.#local.patterns(question)
  }

  mayEnter(question: Omit<Unnamed, 'action'>): boolean | Promise<boolean> {
    return isOfIam(question) ? this.#remote.mayEnter(question) : this.#local.mayEnter(question)
  }
}

function isOfIam({ identity }: Pick<Question, 'identity'>): boolean {
  return identity.kind === 'token' && identity.subject.startsWith('iam:')
}
