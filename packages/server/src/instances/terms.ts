/** From the records of the registry to what the owner of a shard enforces: in memory, and anew after each change. */
import { SERVICE_INSTANCE } from '@holdfast/protocol/operation'
import type { Registry } from '../registry/port.ts'
import { noLimits } from '../registry/records.ts'
import type { TermsOf } from '../shards/terms.ts'
import { limitsOf, planOf } from './plans.ts'

type Found = ReturnType<TermsOf>

/** A change of an instance or a plan counts from the next command on, as soon as this server knows of it. */
export function registryTerms(registry: Registry): TermsOf {
  const known = new Map<string, Found>()
  registry.onChange(puts => {
    if (puts.some(({ kind }) => kind === 'plan')) known.clear()
    else for (const { kind, id } of puts) if (kind === 'instance') known.delete(id)
  })
  return instance => {
    let found = known.get(instance)
    if (found !== undefined) return found
    found = termsIn(registry, instance)
    // A name that is nobody's is not worth a place.
    if (found !== 'unknown') known.set(instance, found)
    return found
  }
}

function termsIn(registry: Registry, instance: string): Found {
  const record = registry.get('instance', instance)
  if (!record) return instance === SERVICE_INSTANCE ? null : 'unknown'
  const isEnabled = record.state === 'active'
  const plan = planOf(registry, record.plan)
  // Plans are retired, never deleted; if one is gone all the same, an instance that was sold is served.
  const limits = plan && limitsOf(record, plan)
  if (isEnabled && (!limits || Object.values(limits).every(limit => limit === null))) return null
  return { ...(limits ?? noLimits), isEnabled }
}
