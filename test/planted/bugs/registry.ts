/** Instances, credentials and what is written about them: records that any server changes. */
import type { Bug } from '../bug.ts'

const registry = 'packages/server/src/registry/registry.ts'
const credentials = 'packages/server/src/administration/credentials.ts'
const asking = 'packages/server/src/http/administration/asking.ts'
const administration = 'packages/server/src/administration/administration.ts'
const registryTest = 'packages/server/src/registry/registry.test.ts'
const administrationTest = 'packages/server/src/administration/administration.test.ts'
const restTest = 'packages/server/src/http/administration/administration.test.ts'

export const registryBugs: readonly Bug[] = [
  {
    id: 'change-decided-on-the-old',
    rules: ['O3'],
    does: 'Of two servers that change at once the second writes what it had decided before it heard of the first.',
    file: registry,
    find: 'const puts = decide()',
    replace: 'const puts = ((telling as { puts?: readonly Put[] }).puts ??= decide())',
    test: {
      file: registryTest,
      name: 'of two servers that change at once both succeed, the second decides on what the first has done',
    },
  },
  {
    id: 'gap-skipped',
    rules: ['O3'],
    does: 'A server that has missed links of the trail goes on from the next: a revoked credential stays valid there for ever.',
    file: registry,
    find: 'if (link.seq !== seq + 1) return false',
    replace: 'seq = link.seq - 1',
    test: {
      file: registryTest,
      name: 'where the links are gone all records are read anew; what has been deleted is told as deleted',
    },
  },
  {
    id: 'view-never-old',
    rules: ['O3'],
    does: 'A server that is cut off from the store goes on deciding by policies of yesterday.',
    file: 'packages/server/src/registry/freshness.ts',
    find: 'return spareMs >= 0',
    replace: 'return true',
    test: {
      file: registryTest,
      name: 'a view is fresh for VIEW_MS_MAX after the last look that was answered, and not a moment longer',
    },
  },
  {
    id: 'chain-not-looked-at',
    rules: ['A1'],
    does: 'A link of the administrative trail that somebody has changed in the store is followed like any other.',
    file: registry,
    find: 'if (link.prev !== hash)',
    replace: 'if (false)',
    test: { file: registryTest, name: 'a link that was changed in the store is noticed by whoever follows' },
  },
  {
    id: 'secret-kept',
    rules: ['A2'],
    does: 'The record of a credential, and so the trail, has the key in it.',
    file: credentials,
    find: '      ...fields,\n',
    replace: '      ...fields,\n      ...{ key },\n',
    test: {
      file: administrationTest,
      name: 'a key is shown once and stored hashed; rotated it has the same subject and rights, and the old one ends',
    },
  },
  {
    id: 'foreign-records-found',
    rules: ['A3'],
    does: 'Whoever knows the id of another instance’s credential can rotate, revoke and delete it.',
    file: administration,
    find: 'if (record?.instance !== instance)',
    replace: 'if (!record)',
    test: { file: administrationTest, name: 'what belongs to another instance is not there' },
  },
  {
    id: 'gives-more-than-it-has',
    rules: ['A3'],
    does: 'Who may make keys can make one that may do everything.',
    file: asking,
    find: '  if (hasAll(call, given)) return\n',
    replace: '  if (given !== null) return\n',
    test: { file: restTest, name: 'nobody gives roles that they do not have, unless they may grant anything' },
  },
]
