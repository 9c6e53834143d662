/** Instances, as the verbs `instance` and `resource` show and change them. */
import type { Rest } from '@holdfast/client'
import { CommandFailure, exitCodes } from '../exit.ts'
import { facts, note, printJson, printLine, safe, table } from '../output.ts'
import { allOf } from './pages.ts'

export type InstanceLimits = Record<string, number | null>
export type InstanceView = {
  id: string
  name: string
  crn: string
  account: string
  plan: string
  capacityUnits: number
  region: string
  state: string
  /** Who disabled or deleted it. */
  closedBy?: 'service' | 'instance'
  limits: InstanceLimits
  createdAt: string
  createdBy: string
  reclaimAt?: string
}

export const instancePath = (id: string, verb = '') => `/v2/instances/${id}${verb === '' ? '' : `/${verb}`}`

export function allInstances(rest: Rest): Promise<InstanceView[]> {
  return allOf(rest, '/v2/instances', 'instances')
}

/** Those that are gone for good, for two months; for whoever runs the service. */
export function reclaimedInstances(rest: Rest): Promise<InstanceView[]> {
  return allOf(rest, '/v2/instances', 'instances', { state: 'reclaimed' })
}

/** By id or CRN; else by name, where only one has it. */
export async function findInstance(rest: Rest, named: string): Promise<InstanceView> {
  return instanceOf(await allInstances(rest), named)
}

export function instanceOf(instances: readonly InstanceView[], named: string): InstanceView {
  const own = instances.filter(({ id, crn }) => id === named || crn === named)
  // A name is whatever its people say, also the id of another.
  const found = own.length > 0 ? own : instances.filter(({ name }) => name === named)
  const [first, second] = found
  if (!first)
    throw new CommandFailure(
      exitCodes.usage,
      `There is no instance ${safe(named)}; \`holdfast instance list\` shows those that there are.`,
    )
  if (second)
    throw new CommandFailure(
      exitCodes.usage,
      `${found.length} instances are called ${safe(named)}: say the id of one (${found.map(({ id }) => id).join(', ')}).`,
    )
  return first
}

export function printInstance(instance: InstanceView, { json = false }: { json?: boolean }): void {
  if (json) return printJson(instance)
  const limits = Object.entries(instance.limits).map(
    ([name, value]) =>
      [
        `  ${name.replace(/[A-Z]/g, letter => ` ${letter.toLowerCase()}`)}`,
        value === null ? 'no limit' : String(value),
      ] as const,
  )
  printLine(
    facts([
      ['name', safe(instance.name)],
      ['id', instance.id],
      ['crn', instance.crn],
      ['state', instance.closedBy ? `${instance.state}, by ${closers[instance.closedBy]}` : instance.state],
      ['plan', `${instance.plan}, ${instance.capacityUnits} capacity units`],
      ['region', instance.region],
      ['account', instance.account],
      ['created', `${instance.createdAt} by ${safe(instance.createdBy)}`],
      ['gone for good', instance.reclaimAt],
      ['limits', ' '],
      ...limits,
    ]),
  )
}

/** Who closed it opens it. */
const closers = { service: 'whoever runs the service', instance: 'its own people' } as const

export function printInstances(instances: InstanceView[], { json = false }: { json?: boolean }): void {
  if (json) return printJson({ instances })
  if (instances.length === 0) return note('there are no instances that you may see')
  const rows = instances.map(({ name, id, plan, capacityUnits, region, state }) => [
    safe(name),
    id,
    plan,
    String(capacityUnits),
    region,
    state,
  ])
  printLine(table(['NAME', 'ID', 'PLAN', 'UNITS', 'REGION', 'STATE'], rows))
}
