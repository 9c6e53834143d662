/**
 * `/metrics`: of all for those who run the service, of one instance for its own people. Without a credential only this machine is answered, as a
 * collector beside the server would ask, unless the operator has opened it: how much others do is nobody's business.
 */
import { hostname } from 'node:os'
import { Readable } from 'node:stream'
import { SERVICE_INSTANCE } from '@holdfast/protocol/operation'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Presented } from '../auth/identity.ts'
import { limitsOf } from '../instances/plans.ts'
import { noLimits } from '../registry/records.ts'
import { METRICS_TYPE, type Tenant, tenantExposition } from '../telemetry/tenants.ts'
import { type Caller, callerOf, presentedBy } from './caller.ts'
import type { Doors } from './doors.ts'
import { decide, denial } from './permission.ts'
import { refuse } from './reply.ts'

const loopback = /^(127\.|::1$)/
/** What proxies add to what they pass on: the proxy is on this machine, whoever asked it need not be. */
const passedOn = /^(forwarded|via|x-forwarded(-.*)?|x-real-ip)$/

export async function metrics(doors: Doors, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const instance = await scopeOf(doors, request)
  const own = instance === null ? await doors.telemetry.exposition() : ''
  const text = Readable.from(pieces(doors, { own, instance }), { objectMode: false })
  return reply.header('content-type', METRICS_TYPE).header('x-content-type-options', 'nosniff').send(text)
}

async function* pieces(
  doors: Doors,
  { own, instance }: { own: string; instance: string | null },
): AsyncGenerator<string> {
  yield own
  const options = { serviceName: doors.administration.serviceName, hasDetails: instance !== null }
  for (const piece of tenantExposition(tenantsOf(doors, instance), options)) {
    yield piece
    await new Promise<void>(resolve => doors.clock.afterPoll(resolve))
  }
}

/** null: everything. @throws {Refused} */
async function scopeOf(doors: Doors, request: FastifyRequest): Promise<string | null> {
  const presented = presentedBy(request.raw, doors)
  const named = request.headers['holdfast-instance']
  if (presented.authorization === undefined && presented.certificate === null) {
    if (doors.metricsAreOpen || isOfThisMachine(request, presented)) return null
    const message =
      'From another machine, or through a proxy, `/metrics` needs a credential with `metrics.read`, or a server with `--open-metrics`.'
    throw refuse('unauthenticated', message)
  }
  const caller = await callerOf(doors, presented, { named, trace: request.ids.trace })
  if (!caller) throw refuse('unauthenticated')
  // Whoever names an instance wants that one's, the operator too.
  if (named === undefined && (await mayRead(doors, caller, SERVICE_INSTANCE)).permitted) return null
  const decision = await mayRead(doors, caller, caller.instance)
  if (decision.permitted) return caller.instance
  throw denial(doors, caller, { deed: { action: 'metrics.read', lock: null }, decision, trace: request.ids.trace })
}

/** Not what comes through a proxy, though it be trusted: what is local to it is said to be so by others. */
function isOfThisMachine({ headers }: FastifyRequest, { address }: Presented): boolean {
  return (
    loopback.test(address) && isOwnName(headers.host ?? '') && !Object.keys(headers).some(name => passedOn.test(name))
  )
}

/** A web page whose name was made to mean this machine (DNS rebinding) asks from here, too, but by that name. */
function isOwnName(host: string): boolean {
  const name = host.replace(/:\d+$/, '').toLowerCase()
  return /^(localhost|127\.[0-9.]+|\[::1\])$/.test(name) || name === hostname().toLowerCase()
}

function mayRead(doors: Doors, caller: Caller, instance: string) {
  return decide(doors, caller, { action: 'metrics.read', lock: null, instance })
}

/** Of all of them, those about which this server has something to tell: there may be ten thousand. */
function tenantsOf({ registry, shards, telemetry }: Doors, instance: string | null): Tenant[] {
  const counts = new Map(shards.tenants().map(own => [own.instance, own]))
  const records = instance === null ? [...registry.all('instance')] : [registry.get('instance', instance)]
  return records
    .filter(record => record !== null)
    .map(record => {
      const plan = registry.get('plan', record.plan)
      const limits = plan ? limitsOf(record, plan) : noLimits
      return { record, limits, counts: counts.get(record.id) ?? null, figures: telemetry.tenant(record.id) }
    })
    .filter(tenant => instance !== null || tenant.counts !== null || tenant.figures !== null)
}
