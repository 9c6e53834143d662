/**
 * The bugs that are planted to see whether a test finds them: each safety claim has an invariant, a checker, and a bug that the checker finds.
 * The first bug of a rule is the one that `npm test` plants; `npm run planted` plants them all.
 */
import type { Bug } from './bug.ts'
import { auditBugs } from './bugs/audit.ts'
import { brokerBugs } from './bugs/broker.ts'
import { clientBugs } from './bugs/client.ts'
import { clusterBugs } from './bugs/clusters.ts'
import { commandBugs } from './bugs/commands.ts'
import { coreBugs } from './bugs/core.ts'
import { crashBugs } from './bugs/crashes.ts'
import { doorBugs } from './bugs/doors.ts'
import { engineBugs } from './bugs/engines.ts'
import { followingBugs } from './bugs/following.ts'
import { identityBugs } from './bugs/identity.ts'
import { instanceBugs } from './bugs/instances.ts'
import { lateBugs } from './bugs/late.ts'
import { logBugs } from './bugs/log.ts'
import { ownershipBugs } from './bugs/ownership.ts'
import { policyBugs } from './bugs/policies.ts'
import { registryBugs } from './bugs/registry.ts'
import { requestBugs } from './bugs/requests.ts'
import { serverBugs } from './bugs/servers.ts'
import { shardBugs } from './bugs/shards.ts'
import { simulatedBugs } from './bugs/simulated.ts'
import { tenantBugs } from './bugs/tenants.ts'
import { walkedBugs } from './bugs/walked.ts'

export const bugs: readonly Bug[] = [
  ...logBugs,
  ...ownershipBugs,
  ...serverBugs,
  ...clusterBugs,
  ...shardBugs,
  ...coreBugs,
  ...registryBugs,
  ...requestBugs,
  ...clientBugs,
  ...followingBugs,
  ...commandBugs,
  ...engineBugs,
  ...doorBugs,
  ...identityBugs,
  ...policyBugs,
  ...instanceBugs,
  ...brokerBugs,
  ...auditBugs,
  ...tenantBugs,
  ...simulatedBugs,
  ...walkedBugs,
  ...lateBugs,
  ...crashBugs,
]
