import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Action, actions } from '@holdfast/protocol/operation'
import fc from 'fast-check'
import type { Identity } from '../auth/identity.ts'
import type { Put } from '../registry/port.ts'
import { keyWithin, type PolicyRecord, type RoleRecord } from '../registry/records.ts'
import { credentialRecord, instanceRecord, memoryRegistry, policyRecord } from '../registry/testing.ts'
import { LIST_PATTERNS_MAX, LocalDecisions } from './decisions.ts'
import { EXPLAINED_POLICIES_MAX, explain } from './explain.ts'
import type { Question } from './port.ts'
import { builtInRoles, roleIdOf, tenantActions } from './roles.ts'
import { person, rootIdentity } from './testing.ts'

const asked = { instance: 'default', address: '192.0.2.7', atMs: Date.UTC(2026, 10, 20, 12) } as const
const puts = (...policies: PolicyRecord[]): Put[] => policies.map(value => ({ kind: 'policy', id: value.id, value }))
const decisionsOf = (...all: Put[]) => new LocalDecisions(memoryRegistry(...all))
const may = (decisions: LocalDecisions, action: Action, lock: string | null, more: Partial<Question> = {}) =>
  decisions.decide({ ...asked, identity: person(), action, lock, ...more }).permitted

test('nothing is permitted to somebody whom nothing names', () => {
  const decisions = decisionsOf()
  for (const action of actions) for (const lock of ['a', null]) assert.ok(!may(decisions, action, lock), action)
  for (const action of actions) assert.ok(may(decisions, action, 'a', { identity: rootIdentity }), action)
})

test('each built-in role permits its actions and no others, by a policy and by a credential, under its id and its CRN', () => {
  for (const [id, { title, kind, actions: own }] of Object.entries(builtInRoles)) {
    const crn = `crn:v1:bluemix:public:iam::::${kind === 'service' ? 'serviceRole' : 'role'}:${title}`
    assert.equal(roleIdOf(crn), id)
    for (const role of [id, crn]) {
      const decisions = decisionsOf(...puts(policyRecord({ id: 'p', roles: [role], locks: ['a*'] })))
      const holder = person({ subject: 'key:k', instance: 'default', credential: 'k', roles: [role] })
      const plain = decisionsOf()
      for (const action of actions) {
        const isOwn = (own as readonly Action[]).includes(action)
        assert.equal(may(decisions, action, 'a/b'), isOwn, `${role} ${action} by policy`)
        assert.equal(may(decisions, action, 'b'), false, `${role} ${action} on another name`)
        assert.equal(may(decisions, action, null), isOwn && tenantActions.has(action), `${role} ${action} on no lock`)
        assert.equal(may(plain, action, 'b', { identity: holder }), isOwn, `${role} ${action} by credential`)
        assert.equal(may(plain, action, 'b', { identity: holder, instance: 'other' }), false, 'never elsewhere')
      }
    }
  }
  assert.equal(
    roleIdOf('crn:v1:bluemix:public:iam::::serviceRole:Viewer'),
    'crn:v1:bluemix:public:iam::::serviceRole:Viewer',
  )
})

test('a custom role counts in its instance, or in all; a name of an object of JavaScript is no role', () => {
  const role = (id: string, instance: string | null): Put => {
    const value: RoleRecord = { id, instance, title: id, actions: ['lock.read'] }
    return { kind: 'role', id: keyWithin(instance, id), value }
  }
  const decisions = decisionsOf(
    { kind: 'instance', id: 'other', value: instanceRecord({ id: 'other' }) },
    role('own', 'default'),
    role('all', null),
    ...['default', 'other'].flatMap(instance =>
      puts(
        policyRecord({ id: `own-${instance}`, instance, roles: ['own'], locks: ['own'] }),
        policyRecord({ id: `all-${instance}`, instance, roles: ['all', 'constructor', '__proto__'], locks: ['all'] }),
      ),
    ),
  )
  assert.ok(may(decisions, 'lock.read', 'own'))
  assert.ok(!may(decisions, 'lock.read', 'own', { instance: 'other' }))
  assert.ok(may(decisions, 'lock.read', 'all', { instance: 'other' }))
  assert.ok(!may(decisions, 'lock.list', 'all'))
})

test('an identity that belongs to an instance has nothing elsewhere, whatever policies say', () => {
  const all = (instance: string) => policyRecord({ id: `p-${instance}`, instance, roles: ['manager', 'administrator'] })
  const decisions = decisionsOf(
    { kind: 'instance', id: 'other', value: instanceRecord({ id: 'other' }) },
    ...puts(all('default'), all('other')),
  )
  const identity = person({ instance: 'default', roles: ['manager'] })
  for (const action of [...builtInRoles.manager.actions, ...builtInRoles.administrator.actions]) {
    assert.ok(may(decisions, action, 'a', { identity }), action)
    assert.ok(!may(decisions, action, 'a', { identity, instance: 'other' }), action)
    assert.ok(!decisions.mayAny({ ...asked, identity, action, prefix: '', instance: 'other' }))
  }
  assert.ok(!decisions.mayEnter({ ...asked, identity, instance: 'other' }))
})

test('an instance that is not active lets nothing be done but look at it and open it again, or let it go; for root, its administration too', () => {
  for (const state of ['disabled', 'pending_reclamation'] as const) {
    const roles = ['manager', 'administrator']
    const decisions = decisionsOf(
      { kind: 'instance', id: 'i', value: instanceRecord({ id: 'i', state }) },
      ...puts(policyRecord({ id: 'p', instance: 'i', roles })),
    )
    for (const identity of [person(), person({ instance: 'i', roles })]) {
      const open = actions.filter(action => may(decisions, action, 'a', { identity, instance: 'i' }))
      // A deleted one is restored, or let go for good.
      const more = state === 'pending_reclamation' ? ['instance.delete'] : []
      assert.deepEqual(open, ['instance.read', 'instance.enable', ...more])
    }
    for (const action of ['lock.acquire', 'lock.read', 'session.open', 'election.campaign'] as const)
      assert.ok(!may(decisions, action, 'a', { identity: rootIdentity, instance: 'i' }))
    for (const action of ['instance.delete', 'policy.write', 'audit.read'] as const)
      assert.ok(may(decisions, action, null, { identity: rootIdentity, instance: 'i' }))
  }
  assert.ok(
    !may(decisionsOf(), 'lock.read', 'a', { identity: rootIdentity, instance: 'none' }),
    'there is no such instance',
  )
})

test('a change of the registry is heard at once, of policies, roles and instances', () => {
  const registry = memoryRegistry()
  const decisions = new LocalDecisions(registry)
  const ask = () => may(decisions, 'lock.read', 'a')
  assert.ok(!ask())
  const policy = policyRecord({ id: 'p', roles: ['eyes'] })
  registry.put(...puts(policy))
  assert.ok(!ask())
  registry.put({
    kind: 'role',
    id: keyWithin('default', 'eyes'),
    value: { id: 'eyes', instance: 'default', title: '', actions: ['lock.read'] },
  })
  assert.ok(ask())
  const { generation } = decisions
  registry.put({ kind: 'instance', id: 'default', value: instanceRecord({ id: 'default', state: 'disabled' }) })
  assert.ok(!ask())
  assert.ok(decisions.generation > generation)
  registry.put({ kind: 'instance', id: 'default', value: instanceRecord({ id: 'default' }) })
  assert.ok(ask())
  registry.put({ kind: 'policy', id: 'p', value: null })
  assert.ok(!ask())
  decisions.close()
})

test('a prefix is permitted only when every name that begins with it is', () => {
  for (const [pattern, prefix, fits] of [
    ['a', 'a', false],
    ['a*', 'a', true],
    ['a*', 'ab', true],
    ['a/*', 'a', false],
    ['a/*', 'a/', true],
    ['*', '', true],
    ['a?', 'a', false],
    ['*b', 'ab', false],
  ] as const) {
    const decisions = decisionsOf(...puts(policyRecord({ id: 'p', roles: ['manager'], locks: [pattern] })))
    assert.equal(may(decisions, 'lock.freeze', prefix, { isPrefix: true }), fits, `${pattern} ${prefix}`)
  }
})

test('a denial says which condition failed, or that nothing grants it; a TTL that is wanted is asked for', () => {
  const decisions = decisionsOf(
    ...puts(policyRecord({ id: 'p-short', roles: ['writer'], locks: ['a'], conditions: { maxTtlMs: 5_000 } })),
  )
  const question = { ...asked, identity: person(), action: 'lock.acquire', lock: 'a' } as const
  const unknown = decisions.decide(question)
  assert.deepEqual([unknown.permitted, unknown.needsTtl], [false, true])
  const long = decisions.decide({ ...question, ttlMs: 6_000 })
  assert.deepEqual([long.permitted, long.needsTtl], [false, false])
  assert.match(long.why, /p-short.*5000 ms/)
  assert.match(decisions.decide({ ...question, lock: 'b' }).why, /No role grants `lock.acquire` on this name/)
  const permitted = decisions.decide({ ...question, ttlMs: 5_000 })
  assert.deepEqual([permitted.permitted, permitted.policy], [true, 'p-short'])
  assert.equal(decisions.decide({ ...question, ttlMs: 5_000 }), permitted, 'nothing is made to permit')
})

test('an explanation names each policy and why it did or did not permit', () => {
  const decisions = decisionsOf(
    ...puts(
      policyRecord({ id: 'p1', subjects: ['key:bob'], roles: ['writer'] }),
      policyRecord({ id: 'p2', roles: ['reader'] }),
      policyRecord({ id: 'p3', roles: ['writer'], locks: ['b*'] }),
      policyRecord({ id: 'p4', roles: ['writer'], conditions: { sources: ['203.0.113.0/24'] } }),
      policyRecord({ id: 'p5', subjects: ['group:ops'], roles: ['writer'], locks: ['a*'] }),
      policyRecord({ id: 'p6', subjects: ['*'], roles: ['none'] }),
    ),
  )
  const identity = person({ groups: ['ops'], instance: 'default', roles: ['reader', 'missing'] })
  const { permitted, policy, policies, roles } = explain(decisions, {
    ...asked,
    identity,
    action: 'lock.acquire',
    lock: 'a',
  })
  assert.deepEqual([permitted, policy], [true, 'p5'])
  const why = Object.fromEntries(policies.map(one => [one.policy, [one.permits, one.why]]))
  assert.deepEqual(policies[0]?.policy, 'p5')
  assert.match(String(why.p1), /false,It is for `key:bob`/)
  assert.match(String(why.p2), /false,None of its roles \(`reader`\) has `lock.acquire`/)
  assert.match(String(why.p3), /false,None of its patterns \(`b\*`\) matches `a`/)
  assert.match(String(why.p4), /false,The address/)
  assert.match(String(why.p6), /false,None of its roles/)
  assert.deepEqual(
    roles.map(role => role.permits),
    [false, false],
  )
})

test('an explanation shows EXPLAINED_POLICIES_MAX policies, those that permit first', () => {
  const many = Array.from({ length: EXPLAINED_POLICIES_MAX + 1 }, (_, index) =>
    policyRecord({ id: `p${index}`, roles: ['reader'], locks: [index === EXPLAINED_POLICIES_MAX ? 'a' : 'b'] }),
  )
  const { policies } = explain(decisionsOf(...puts(...many)), {
    ...asked,
    identity: person(),
    action: 'lock.read',
    lock: 'a',
  })
  assert.equal(policies.length, EXPLAINED_POLICIES_MAX)
  assert.equal(policies[0]?.policy, `p${EXPLAINED_POLICIES_MAX}`)
})

test('a list is told where to look, unless everything or more than LIST_PATTERNS_MAX patterns are permitted', () => {
  const decisions = decisionsOf(...puts(policyRecord({ id: 'p', roles: ['reader'], locks: ['a*', 'b'] })))
  const question = { ...asked, identity: person(), action: 'lock.list' } as const
  assert.deepEqual(decisions.patterns(question), ['a*', 'b'])
  assert.deepEqual(decisions.patterns({ ...question, action: 'lock.acquire' }), [])
  assert.equal(decisions.patterns({ ...question, identity: rootIdentity }), null)
  const list = (count: number) =>
    Array.from({ length: count }, (_, index) =>
      policyRecord({ id: `p${index}`, roles: ['reader'], locks: [`a${index}`] }),
    )
  assert.equal(decisionsOf(...puts(...list(LIST_PATTERNS_MAX))).patterns(question)?.length, LIST_PATTERNS_MAX)
  assert.equal(decisionsOf(...puts(...list(LIST_PATTERNS_MAX + 1))).patterns(question), null)
})

test('who belongs to no instance may enter where something names it, and cannot tell the others from none', () => {
  const decisions = decisionsOf(
    { kind: 'instance', id: 'i', value: instanceRecord({ id: 'i' }) },
    { kind: 'instance', id: 'j', value: instanceRecord({ id: 'j' }) },
    ...puts(policyRecord({ id: 'p', instance: 'i', subjects: ['group:ops'], roles: ['reader'] })),
  )
  const enters = (instance: string, identity: Identity) => decisions.mayEnter({ ...asked, identity, instance })
  assert.deepEqual(
    ['i', 'j', 'none'].map(instance => enters(instance, person({ groups: ['ops'] }))),
    [true, false, false],
  )
  assert.ok(!enters('i', person()))
  assert.ok(enters('none', rootIdentity))
})

// ---------------------------------------------------------------------------------------------------- by brute force

/** The definition, over all records, without an index. */
function reference(all: readonly PolicyRecord[], question: Question): boolean {
  const names = [question.identity.subject, ...question.identity.groups.map(group => `group:${group}`), '*']
  return all.some(
    policy =>
      policy.instance === question.instance &&
      policy.subjects.some(subject => names.includes(subject)) &&
      policy.roles.some(
        role =>
          role in builtInRoles &&
          (builtInRoles[role as 'reader'].actions as readonly Action[]).includes(question.action),
      ) &&
      (question.lock === null
        ? tenantActions.has(question.action) || policy.locks.some(pattern => /^\*+$/.test(pattern))
        : policy.locks.some(pattern => asExpression(pattern).test(question.lock ?? ''))) &&
      (policy.conditions.maxPriority === undefined ||
        question.action !== 'lock.acquire' ||
        (question.priority ?? 0) <= policy.conditions.maxPriority),
  )
}

function asExpression(pattern: string): RegExp {
  const parts = [...pattern].map(sign =>
    sign === '*' ? '[^]*' : sign === '?' ? '[^]' : sign.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'),
  )
  return new RegExp(`^${parts.join('')}$`, 'u')
}

const someNames = ['a', 'b', 'ab', 'a/b', 'a/b/c', 'A', 'a%2Fb', '..', 'a/..', '\u00e9', 'e\u0301', '😀', 'ba', 'abc']
const somePatterns = [
  '*',
  'a',
  'a*',
  'a/*',
  'a/b*',
  '*b',
  'a?',
  '?',
  '??',
  'a*c',
  'ab',
  '\u00e9',
  'e*',
  '*/*',
  'a/b',
  '..',
  'A*',
  '??*',
]
const somePolicy = fc.record({
  instance: fc.constantFrom('default', 'other'),
  subjects: fc.subarray(['key:ann', 'key:bob', 'group:ops', 'group:dev', '*'], { minLength: 1, maxLength: 2 }),
  roles: fc.subarray(['reader', 'writer', 'manager', 'viewer', 'nobody'], { minLength: 1, maxLength: 2 }),
  locks: fc.subarray(somePatterns, { minLength: 1, maxLength: 3 }),
  conditions: fc.constantFrom({}, {}, { maxPriority: 0 }),
})

test('decisions are those of the definition, whatever the policies', () => {
  const someQuestion = fc.record({
    identity: fc.record({
      subject: fc.constantFrom('key:ann', 'key:bob', 'key:eve'),
      groups: fc.subarray(['ops', 'dev', 'none']),
    }),
    instance: fc.constantFrom('default', 'other'),
    action: fc.constantFrom<Action>(
      'lock.read',
      'lock.acquire',
      'lock.freeze',
      'instance.read',
      'session.open',
      'policy.write',
    ),
    lock: fc.constantFrom(...someNames, null),
    priority: fc.constantFrom(0, 1),
  })
  fc.assert(
    fc.property(
      fc.array(somePolicy, { maxLength: 12 }),
      fc.array(someQuestion, { minLength: 1, maxLength: 30 }),
      (list, questions) => {
        const all = list.map((fields, index) => policyRecord({ id: `p${index}`, ...fields }))
        const decisions = decisionsOf(
          { kind: 'instance', id: 'other', value: instanceRecord({ id: 'other' }) },
          ...puts(...all),
        )
        for (const fields of questions) {
          const question: Question = { ...asked, ...fields, identity: person(fields.identity) }
          const expected = reference(all, question)
          assert.equal(decisions.decide(question).permitted, expected, JSON.stringify(fields))
          const explained = explain(decisions, question)
          assert.equal(
            explained.policies.some(one => one.permits),
            expected,
            'and the explanation says the same',
          )
          if (fields.lock === null || !expected) continue
          const { lock, ...rest } = question
          assert.ok(
            decisions.mayAny({ ...rest, prefix: fields.lock.slice(0, 1) }),
            'what is permitted is found under its prefix',
          )
          const patterns = decisions.patterns(rest)
          assert.ok(
            patterns === null || patterns.some(pattern => asExpression(pattern).test(fields.lock ?? '')),
            'and by the patterns',
          )
        }
      },
    ),
    { numRuns: 300 },
  )
})

test('the roles of a credential are those that its identity carries, not those of its record', () => {
  const decisions = decisionsOf({
    kind: 'credential',
    id: 'k',
    value: credentialRecord({ id: 'k', roles: ['manager'] }),
  })
  assert.ok(!may(decisions, 'lock.read', 'a', { identity: person({ credential: 'k', instance: 'default' }) }))
})
