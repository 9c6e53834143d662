/**
 * What one decision costs: `node --conditions=source test/bench/decisions.ts`. A thousand policies in three shapes: one for each of a thousand
 * subjects; all for one subject, each for a prefix of its own; and all for one subject and the same names, each with a condition that fails but
 * for the last. The middle of nine rounds, in nanoseconds.
 */

import { LocalDecisions } from '../../packages/server/src/policies/decisions.ts'
import type { Question } from '../../packages/server/src/policies/port.ts'
import { person } from '../../packages/server/src/policies/testing.ts'
import type { Conditions } from '../../packages/server/src/registry/records.ts'
import { memoryRegistry, policyRecord } from '../../packages/server/src/registry/testing.ts'

const POLICIES = 1_000
const QUESTIONS = 200_000
const ROUNDS = 9

type Shape = {
  name: string
  subject(index: number): string
  pattern(index: number): string
  conditions(index: number): Conditions
}

const shapes: Shape[] = [
  { name: 'a subject each', subject: index => `key:k${index}`, pattern: () => 'team/*', conditions: () => ({}) },
  { name: 'a prefix each', subject: () => 'key:k', pattern: index => `team-${index}/*`, conditions: () => ({}) },
  { name: 'a name each', subject: () => 'key:k', pattern: index => `team-${index}/lock`, conditions: () => ({}) },
  {
    name: 'the same names, conditions fail',
    subject: () => 'key:k',
    pattern: () => '*',
    conditions: index => ({ maxPriority: index === POLICIES - 1 ? 100 : -1 }),
  },
]

for (const shape of shapes) {
  const puts = Array.from({ length: POLICIES }, (_, index) => {
    const fields = { subjects: [shape.subject(index)], roles: ['writer'], locks: [shape.pattern(index)] }
    const value = policyRecord({ id: `p${index}`, ...fields, conditions: shape.conditions(index) })
    return { kind: 'policy' as const, id: value.id, value }
  })
  const decisions = new LocalDecisions(memoryRegistry(...puts))
  const asked = { instance: 'default', action: 'lock.acquire', address: '192.0.2.7', atMs: 0 } as const
  const permitted: Question[] = puts.map((_, index) => ({
    ...asked,
    identity: person({ subject: shape.subject(index), groups: ['one', 'two'] }),
    lock: shape.pattern(index).replace('*', 'orders/42'),
  }))
  const denied = permitted.map(question => ({
    ...question,
    identity: person({ subject: 'key:stranger', groups: ['one', 'two'] }),
  }))
  const cost = (questions: readonly Question[]) => {
    const times = Array.from({ length: ROUNDS }, () => {
      const began = process.hrtime.bigint()
      let count = 0
      for (let index = 0; index < QUESTIONS; index++)
        if (decisions.decide(questions[(index * 7) % questions.length]!).permitted) count++
      const ns = Number(process.hrtime.bigint() - began) / QUESTIONS
      if (count !== 0 && count !== QUESTIONS) throw new Error('some are permitted and some are not')
      return ns
    })
    return Math.round(times.sort((one, other) => one - other)[Math.floor(ROUNDS / 2)] ?? 0)
  }
  console.log(`${shape.name}: permitted ${cost(permitted)} ns, denied ${cost(denied)} ns`)
}
