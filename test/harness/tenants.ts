/** Instances of their own with a key each, made by the operator of a server. */

import { asker } from './rest.ts'
import { asked, makeKey } from './teams.ts'

/** `overrides` as the wire spells them. */
export type Tenant = { name: string; plan: string; capacity_units: number; overrides?: Record<string, number | null> }

/** Their keys, by name: each may do with locks what a writer may. */
export async function addTenants(url: string, tenants: readonly Tenant[]): Promise<Map<string, string>> {
  const ask = asker(url)
  const keys = new Map<string, string>()
  for (const tenant of tenants) {
    const { id } = await asked(ask)('POST', '/v2/instances', tenant)
    const within = asked(ask, { 'holdfast-instance': String(id) })
    keys.set(tenant.name, (await makeKey(within, { name: tenant.name, roles: ['writer'] })).key)
  }
  return keys
}
