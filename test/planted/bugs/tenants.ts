/** Bugs that let one team at what is another's: found by everybody asking for everything (fuzz-tenants.test.ts). */
import type { Bug, TestOf } from '../bug.ts'

const server = 'packages/server/src'

/** @param seed even or odd says which of the two teams is the one that asks. */
function byFuzz(operation: string, seed = 7): TestOf {
  return {
    file: 'test/system/fuzz-tenants.test.ts',
    name: `${operation}: everybody gets what is theirs, and an answer as declared`,
    env: { TEST_SEED: String(seed) },
  }
}

export const tenantBugs: readonly Bug[] = [
  {
    id: 'key-opens-other-instances',
    rules: ['V6'],
    does: 'A key with a role in its own instance has it in every other, if that is named in the path.',
    file: `${server}/policies/decisions.ts`,
    find: "    if (identity.kind !== 'root' && identity.instance !== null && identity.instance !== instance) return elsewhere\n",
    replace: '',
    test: byFuzz('v2 getInstance'),
  },
  {
    id: 'credentials-of-others-known-by-id',
    rules: ['V6'],
    does: 'Who knows the id of a credential, policy or role of another team can look at it and change it.',
    file: `${server}/administration/administration.ts`,
    find: '  if (record?.instance !== instance) throw notFound',
    replace: '  if (!record) throw notFound',
    test: byFuzz('v2 revokeCredential'),
  },
  {
    id: 'trail-of-others',
    rules: ['V6'],
    does: 'The trail shows what was done in other instances too.',
    file: `${server}/audit/filter.ts`,
    find: '  if (record.instance !== instance && !(includesService && isOfService(record))) return false\n',
    replace: '  if (record.instance === undefined && !includesService) return false\n',
    test: byFuzz('v2 queryAudit'),
  },
  {
    id: 'metrics-for-whoever-asks-a-proxy',
    rules: ['V6'],
    does: 'A proxy on the same machine is taken for a collector: whoever asks it is shown the names and counts of all instances.',
    file: `${server}/http/metrics.ts`,
    find: ' && !Object.keys(headers).some(name => passedOn.test(name))',
    replace: ' && Object.keys(headers).length > 0',
    test: {
      file: `${server}/http/service.test.ts`,
      name: 'without a credential the metrics are for this machine only, and a proxy on it stands for others',
    },
  },
  {
    id: 'freezes-of-all',
    rules: ['V6'],
    does: 'Freezes are shown to whoever is granted a few names, with their reasons, whatever they stop.',
    file: `${server}/http/v2/list-freezes.ts`,
    find: '  const visible = freezes.filter(({ prefix }) =>',
    replace: '  const visible = freezes.filter(({ prefix }) => prefix !== "" ||',
    test: byFuzz('v2 listFreezes', 8),
  },
  {
    id: 'labels-of-all-sessions',
    rules: ['V6'],
    does: 'Whoever knows the id of a session of somebody else is shown what its owner calls it.',
    file: `${server}/http/v2/get-session.ts`,
    find: '(await mayReadLabels(call, session.id))',
    replace: 'true',
    test: {
      file: `${server}/http/hiding.test.ts`,
      name: 'the labels of a session are about no lock: shown to who has its secret, and to who may read every lock',
    },
  },
  {
    id: 'null-lifts-a-limit',
    rules: ['V6'],
    does: 'In a merge patch null is kept instead of taking away: a limit that was to fall back to the plan is lifted altogether.',
    file: 'packages/protocol/src/merge-patch.ts',
    find: '    if (value === null) merged.delete(name)\n    else merged',
    replace: '    merged',
    test: {
      file: `${server}/http/patches.test.ts`,
      name: 'limits of an instance’s own are merged one by one: null takes one away, and is not without limit',
    },
  },
]
