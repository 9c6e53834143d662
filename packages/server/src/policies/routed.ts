/**
 * Who decides for whom, when there is a remote decision point: it decides for those whom IBM Cloud IAM knows, and our own roles and policies for all
 * others (the root key, API keys, other issuers, certificates). Never both for one: what is taken away in one place is gone.
 *
 * In `default` our own decide for all: it is of no account that IAM knows, so nobody could be given anything in it there, and who runs the service, or orders
 * through the broker, would have to do without a token.
 */
import { SERVICE_INSTANCE } from '@holdfast/protocol/operation'
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
    if (!isAskedThere(question)) return this.#local.decide(question)
    return this.#local.closed(question) ?? this.#remote.decide(question)
  }

  mayAny(question: Unnamed & { prefix: string }): Verdict | Promise<Verdict> {
    if (!isAskedThere(question)) return this.#local.mayAny(question)
    return this.#local.closed(question) === null ? this.#remote.mayAny(question) : false
  }

  patterns(question: Unnamed): readonly string[] | null {
    return isAskedThere(question) ? this.#remote.patterns(question) : this.#local.patterns(question)
  }

  mayEnter(question: Omit<Unnamed, 'action'>): boolean | Promise<boolean> {
    return isAskedThere(question) ? this.#remote.mayEnter(question) : this.#local.mayEnter(question)
  }
}

function isAskedThere({ identity, instance }: Pick<Question, 'identity' | 'instance'>): boolean {
  return instance !== SERVICE_INSTANCE && identity.kind === 'token' && identity.subject.startsWith('iam:')
}
