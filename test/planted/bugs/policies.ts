/** Who may do what: what must not be permitted, shown, or go on. */
import type { Bug } from '../bug.ts'

const server = 'packages/server/src'
const decisions = (name: string) => ({ file: `${server}/policies/decisions.test.ts`, name })

export const policyBugs: readonly Bug[] = [
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
]
