/** Instances of their own with a key each, put into the store of a server that has not been started yet. */
import { join } from 'node:path'
import type { By } from '../../packages/server/src/administration/administration.ts'
import { createCredential } from '../../packages/server/src/administration/credentials.ts'
import { createInstance } from '../../packages/server/src/administration/instances.ts'
import { systemClock } from '../../packages/server/src/clock.ts'
import { openLmdb } from '../../packages/server/src/engine/lmdb/lmdb.ts'
import { offerDefaultPlans } from '../../packages/server/src/instances/instances.ts'
import { systemRandom } from '../../packages/server/src/random.ts'
import type { Limits } from '../../packages/server/src/registry/records.ts'
import { openRegistry } from '../../packages/server/src/registry/registry.ts'
import { STORE_ROOT } from '../../packages/server/src/shards/keys.ts'

export type Tenant = { name: string; plan: string; capacityUnits: number; overrides?: Partial<Limits> }

/** Their keys, by name. */
export async function addTenants(data: string, tenants: readonly Tenant[]): Promise<Map<string, string>> {
  const engine = await openLmdb({ path: join(data, 'store') })
  const failed = (what: unknown) => {
    throw new Error(`the registry cannot be filled: ${String(what)}`)
  }
  const registry = await openRegistry({
    engine,
    clock: systemClock,
    root: STORE_ROOT,
    server: 'harness',
    alarm: failed,
    fatal: failed,
  })
  const options = { registry, clock: systemClock, random: systemRandom, serviceName: 'go-etcd-lock', region: 'local' }
  const by: By = { subject: 'root', from: '', trace: 'harness' }
  await offerDefaultPlans(registry)
  const keys = new Map<string, string>()
  for (const tenant of tenants) {
    const { id } = await createInstance(options, by, tenant)
    const fields = { name: tenant.name, roles: ['writer'], groups: [], expiresAtMs: null }
    keys.set(tenant.name, (await createCredential(options, by, { instance: id, fields })).key)
  }
  await registry.close()
  await engine.close()
  return keys
}
