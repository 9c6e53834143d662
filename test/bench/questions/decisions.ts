/**
 * What does one decision cost with a thousand policies? One for each of a thousand subjects; all for one subject, each for names of its own; and all for
 * one subject and the same names, each with a condition that fails but for the last.
 */
import { LocalDecisions } from '../../../packages/server/src/policies/decisions.ts'
import type { Question } from '../../../packages/server/src/policies/port.ts'
import { person } from '../../../packages/server/src/policies/testing.ts'
import type { Conditions } from '../../../packages/server/src/registry/records.ts'
import { memoryRegistry, policyRecord } from '../../../packages/server/src/registry/testing.ts'
import { median } from '../measure.ts'
import { type Report, type Row, spreadOf } from '../report.ts'

const POLICIES = 1_000
const NS_MAX = 2_000

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

export async function decisions({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const rows = shapes.flatMap(shape =>
    rowsOf(shape, isQuick ? { rounds: 3, count: 20_000 } : { rounds: 9, count: 200_000 }),
  )
  return {
    question: `One decision with ${POLICIES} policies`,
    about: 'By the local engine, in this process: the middle of the rounds.',
    rows,
    verdicts: rows.map(({ name, value }) => ({
      claim: name,
      value,
      target: `< ${NS_MAX} ns`,
      isMet: value < NS_MAX,
    })),
  }
}

function rowsOf(shape: Shape, { rounds, count }: { rounds: number; count: number }): Row[] {
  const puts = Array.from({ length: POLICIES }, (_, index) => {
    const fields = { subjects: [shape.subject(index)], roles: ['writer'], locks: [shape.pattern(index)] }
    const value = policyRecord({ id: `p${index}`, ...fields, conditions: shape.conditions(index) })
    return { kind: 'policy' as const, id: value.id, value }
  })
  const engine = new LocalDecisions(memoryRegistry(...puts))
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
  return Object.entries({ permitted, denied }).map(([outcome, questions]) => {
    const times = Array.from({ length: rounds }, () => {
      const began = process.hrtime.bigint()
      let yes = 0
      for (let index = 0; index < count; index++)
        if (engine.decide(questions[(index * 7) % questions.length]!).permitted) yes++
      const ns = Number(process.hrtime.bigint() - began) / count
      if (yes !== (outcome === 'permitted' ? count : 0)) throw new Error('some are permitted and some are not')
      return ns
    })
    return { name: `${shape.name}: ${outcome}`, value: median(times), unit: 'ns', spread: spreadOf(times) }
  })
}
