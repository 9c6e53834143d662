/** Somebody has presented something that proves nobody: what can be said of it in the trail. Never a secret, and no name that was not proved. */
import type { Clock } from '../clock.ts'
import type { Registry } from '../registry/port.ts'
import { ApiKeys, parseKey, subjectOf } from './api-keys.ts'
import { keyOf } from './authorization.ts'
import type { Presented } from './identity.ts'
import { Tokens } from './tokens.ts'

export type Stranger = {
  /** Whose key it was, if its secret was right; empty: nobody's that is known. */
  subject: string
  /** That the key belongs to, whose people are to hear of it; null: no key of ours. */
  instance: string | null
  /** `credential/<public id>`, as presented; `credential` or `token`: it names none. */
  target: string
  reason: string
}

type Sources = { registry: Pick<Registry, 'get'>; clock: Pick<Clock, 'wallMs'> }

/** The same work for every well-formed key, whether there is such a one or not: how long the refusal takes tells nothing. */
export function strangerOf(
  { authorization }: Pick<Presented, 'authorization'>,
  { registry, clock }: Sources,
): Stranger {
  const nobody: Stranger = {
    subject: '',
    instance: null,
    target: 'credential',
    reason: 'It is neither a key nor a token.',
  }
  const text = keyOf(authorization)
  if (text === null) return nobody
  const parsed = parseKey(text)
  if (!parsed) return Tokens.isForm(text) ? { ...nobody, target: 'token', reason: 'The token proves nobody.' } : nobody
  const verdict = new ApiKeys({ registry, clock }).verify(parsed).is
  const record = registry.get('credential', parsed.id)
  const named: Stranger = { ...nobody, target: `credential/${parsed.id}`, instance: record?.instance ?? null }
  if (!record) return { ...named, reason: 'There is no such key.' }
  if (verdict === 'wrong') return { ...named, reason: 'The secret is not that of the key.' }
  const reason =
    verdict === 'valid'
      ? 'Keys are not taken as they are here, only tokens that are made of them.'
      : `The key has ${record.state === 'active' ? 'expired' : 'been revoked'}.`
  return { ...named, subject: subjectOf(record), reason }
}
