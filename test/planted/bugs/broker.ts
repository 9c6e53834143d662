/** The broker: what a platform may not reach, what must end, and who may ask. */
import type { Bug } from '../bug.ts'

const broker = 'packages/server/src/http/broker'
const found = (name: string) => ({ file: `${broker}/broker.test.ts`, name })
const bindings = (name: string) => ({ file: `${broker}/bindings.test.ts`, name })
const rights = 'each endpoint asks for its right in `default`, whatever somebody may in an instance of their own'

export const brokerBugs: readonly Bug[] = [
  {
    id: 'broker-reaches-what-it-has-not-ordered',
    rules: ['V6'],
    does: 'A platform sees and deletes instances that were made otherwise, by their ids.',
    file: 'packages/server/src/administration/orders.ts',
    find: '  return record?.orderedAs === orderedAs ? record : null',
    replace: '  return record',
    test: found('names of any kind are instances of their own, and none is one that was made otherwise'),
  },
  {
    id: 'broker-key-outlives-its-binding',
    rules: ['V6'],
    does: 'Of a binding that was asked for twice only the last key ends: the first goes on for ever.',
    file: 'packages/server/src/administration/bindings.ts',
    find: 'goodFirst(options, keysOf(options, named))',
    replace: 'goodFirst(options, keysOf(options, named).slice(-1))',
    test: bindings(
      'a binding is a key of its role in the form of IBM’s; asked for again it is one more, and all end with it',
    ),
  },
  {
    id: 'broker-revoked-key-is-had-back',
    rules: ['V6'],
    does: 'A platform asks for a binding again whose key an operator has revoked, and has a good one.',
    file: 'packages/server/src/administration/bindings.ts',
    find: "  if (newest.state === 'revoked')",
    replace: "  if (newest.state !== 'active' && count < 0)",
    test: bindings(
      'a binding succeeds another with its subject, ends when it was said to, and knows the limits on keys',
    ),
  },
  {
    id: 'broker-gives-what-it-has-not',
    rules: ['V6'],
    does: 'A platform that may make keys gives them roles that it has not itself.',
    file: `${broker}/bindings.ts`,
    find: '  await refuseGiving(within, { roles, ...(inherits !== null && { subject: inherits }) })\n',
    replace: '',
    test: found(rights),
  },
  {
    id: 'broker-asks-for-no-right',
    rules: ['V6'],
    does: 'Whoever has any key orders instances and keys of others.',
    file: `${broker}/index.ts`,
    find: '  if (!decision.permitted) throw denial(doors, caller, { deed, decision, trace })\n',
    replace: '',
    test: found(rights),
  },
  {
    id: 'suspended-and-not-noted',
    rules: ['V6'],
    does: 'What its own people have disabled the platform need not: they enable it again, suspended or not.',
    file: `${broker}/states.ts`,
    find: "closerOf(record) === (enabled ? null : 'service')",
    replace: '(closerOf(record) === null) === enabled',
    test: found(
      'what the platform has disabled or deleted its own people do not take back, though they had closed it before',
    ),
  },
]
