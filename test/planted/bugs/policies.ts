/** Who may do what: what must not be permitted, shown, or go on. */
import type { Bug } from '../bug.ts'

const server = 'packages/server/src'
const decisions = (name: string) => ({ file: `${server}/policies/decisions.test.ts`, name })

const givingTest = 'packages/server/src/http/administration/giving.test.ts'

export const policyBugs: readonly Bug[] = [
  {
    id: 'groups-are-given-freely',
    rules: ['V6'],
    does: 'Who may make keys puts a new one into any group, and so has what policies give to that group.',
    file: 'packages/server/src/http/administration/asking.ts',
    find: 'if (!groups.every(group => member.has(groupSubject(group)))) return false',
    replace: 'void member',
    test: { file: givingTest, name: 'an editor gives no groups that are not its own' },
  },
  {
    id: 'rotation-shows-what-policies-give',
    rules: ['V6'],
    does: 'Who may rotate keys gets the secret of one to which policies give more than its roles.',
    file: 'packages/server/src/http/administration/asking.ts',
    find: "!recordsIn(doors.administration, 'policy', instance).some(policy => policy.subjects.includes(subject))",
    replace: 'subject !== null',
    test: { file: givingTest, name: 'an editor rotates no key that policies or groups make more of than its own' },
  },
  {
    id: 'roles-are-changed-freely',
    rules: ['V6'],
    does: 'Who may change roles gives its own role whatever it likes.',
    file: 'packages/server/src/http/administration/permissions.ts',
    find: '  await refuseGiving(call, { actions })\n',
    replace: '',
    test: { file: givingTest, name: 'who may change roles makes none that may do more than its own' },
  },
  {
    id: 'prefix-by-its-own-name',
    rules: ['V6'],
    does: 'Whoever may freeze the lock `a` freezes `ab` and all that begins with `a`.',
    file: `${server}/policies/decisions.ts`,
    find: 'return isPrefix ? coversUnder(pattern, lock) : matches(pattern, lock)',
    replace: 'return matches(pattern, lock)',
    test: decisions('a prefix is permitted only when every name that begins with it is'),
  },
  {
    id: 'credential-goes-abroad',
    rules: ['V6'],
    does: 'The key of one instance is good in another, as far as a policy there is for everybody.',
    file: `${server}/policies/decisions.ts`,
    find: "if (identity.kind !== 'root' && identity.instance !== null && identity.instance !== instance) return elsewhere",
    replace:
      "if (identity.kind === 'certificate' && identity.instance !== null && identity.instance !== instance) return elsewhere",
    test: decisions('an identity that belongs to an instance has nothing elsewhere, whatever policies say'),
  },
  {
    id: 'part-opens-the-whole',
    rules: ['V6'],
    does: 'A policy on some names opens the trail, the credentials and the policies of the whole instance.',
    file: `${server}/policies/decisions.ts`,
    find: "if (lock === null) return tenantActions.has(action) || locks.some(text => coversUnder(compilePattern(text), ''))",
    replace: 'if (lock === null) return tenantActions.has(action) || locks.length > 0',
    test: decisions('decisions are those of the definition, whatever the policies'),
  },
  {
    id: 'hidden-is-told-apart',
    rules: ['V6'],
    does: 'Who may not read a lock is answered as nobody is about a name that is free.',
    file: `${server}/http/permitting.ts`,
    find: '  note(doors, caller, hidden)\n  return true',
    replace: "  note(doors, caller, hidden)\n  throw refuse('not_found')",
    test: {
      file: `${server}/http/permissions.test.ts`,
      name: 'what may not be read answers like what is not there, on every operation that reads, and is noted all the same',
    },
  },
  {
    id: 'revoked-goes-on',
    rules: ['V6'],
    does: 'A connection outlives the key that opened it.',
    file: `${server}/http/standing.ts`,
    find: "if (record?.state !== 'active' || record.instance !== identity.instance) return 'credential_revoked'",
    replace: "if (record?.instance !== identity.instance) return 'credential_revoked'",
    test: {
      file: `${server}/http/revocation.test.ts`,
      name: 'an identity is what its record says now, and no longer than both it and its token',
    },
  },
  {
    id: 'looks-as-slow-as-the-crowd-was-large',
    rules: ['V6'],
    does: 'A look at who may stay goes through all who have left meanwhile: after a crowd has gone, a token that has expired goes on being served for minutes.',
    file: `${server}/http/standing.ts`,
    find: 'this.#rest.splice(0, this.#count)',
    replace: 'this.#rest.splice(0, Math.ceil(this.#open.size / LOOKS))',
    test: {
      file: `${server}/http/revocation.test.ts`,
      name: 'a stream is looked at in time however many others have gone since the round began',
    },
  },
  {
    id: 'open-when-nobody-answers',
    rules: ['V6'],
    does: 'While the remote decision point is away, everything is permitted.',
    file: `${server}/policies/remote.ts`,
    find: '    return unreachable\n',
    replace: '    return permitted\n',
    test: {
      file: `${server}/policies/remote.test.ts`,
      name: 'while it does not answer, what it said is served until STALE_MS_MAX, and all else is denied',
    },
  },
  {
    id: 'outage-looks-like-a-denial',
    rules: ['V6'],
    does: 'While the remote decision point is away, people are told that their rights are gone, and reads that nothing is there.',
    file: `${server}/policies/remote.ts`,
    find: 'const unknown = (why: string): Decision => ({ ...denied(why), isUnknown: true })',
    replace: 'const unknown = (why: string): Decision => denied(why)',
    test: {
      file: `${server}/policies/remote.test.ts`,
      name: 'while it does not answer, what it said is served until STALE_MS_MAX, and all else is denied',
    },
  },
  {
    id: 'unknown-is-left-out',
    rules: ['V6'],
    does: 'A watch silently skips events of which nobody can say whether they may be seen.',
    file: `${server}/http/event-filter.ts`,
    find: 'if (isSeen === null || (isSeen && !this.#options.deliver(event))) this.#cutOff()',
    replace: 'if (isSeen && !this.#options.deliver(event)) this.#cutOff()',
    test: {
      file: `${server}/http/undecided.test.ts`,
      name: 'a watch is cut off, to be resumed, at an event of which it is not known whether it may be seen',
    },
  },
  {
    id: 'policy-overwritten-unseen',
    rules: ['V6'],
    does: 'The `If-Match` of a policy is not looked at when it is written: what one administrator takes away comes back with the change of another.',
    file: 'packages/server/src/administration/permissions.ts',
    find: '    expects?.(before)\n    if (!before)',
    replace: '    if (!before)',
    test: {
      file: 'packages/server/src/http/if-match.test.ts',
      name: 'of two administrators who change the same policy the second is told that it has changed',
    },
  },
  {
    id: 'gone-for-everybody',
    rules: ['V6'],
    does: 'Whoever may read a trail somewhere enters instances that are gone, or that are not theirs.',
    file: `${server}/http/caller.ts`,
    find: "if (reachesGone && identity.kind === 'root') return caller",
    replace: 'if (reachesGone) return caller',
    test: {
      file: `${server}/http/administration/gone.test.ts`,
      name: 'what became of an instance that is gone is read by whoever runs the service, and by nobody else',
    },
  },
]
