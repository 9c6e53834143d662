/**
 * `/broker`: the Open Service Broker API, 2.12 to 2.17, as IBM's resource controller and other platforms call it, and IBM's `/bluemix_v1` (ECOSYSTEM 1.3).
 * A translation, no second administration: what is done is done by `administration/`, by who may do it in `default`, and stands in the trail.
 */
import { SERVICE_INSTANCE } from '@holdfast/protocol/operation'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Caller, identified } from '../caller.ts'
import type { Doors } from '../doors.ts'
import { foundAt } from '../forwarded.ts'
import type { App } from '../listener.ts'
import { paramsOf, queryOf } from '../names.ts'
import { decide, denial } from '../permission.ts'
import { invalid, refuse } from '../reply.ts'
import { shutOut } from '../standing.ts'
import { type Validator, validator } from '../validate.ts'
import { type Asked, type Endpoint, onBehalfOf } from './asked.ts'
import { bind, lastBindingOperation, showBinding, unbind } from './bindings.ts'
import { catalog } from './catalog.ts'
import { deprovision, lastOperation, provision, show, update } from './instances.ts'
import { BrokerRefusal, sendRefusal } from './refusal.ts'
import { bindBody, provisionBody, stateBody, updateBody } from './schemas.ts'
import { putState, showState } from './states.ts'

const instance = '/v2/service_instances/{instance_id}'
const binding = `${instance}/service_bindings/{binding_id}`
const state = '/bluemix_v1/service_instances/{instance_id}'
const both = ['service_id', 'plan_id'] as const
const plain = { body: null, needs: [] } as const

export const endpoints: readonly Endpoint[] = [
  { ...plain, method: 'GET', path: '/v2/catalog', action: 'instance.read', handle: catalog },
  { ...plain, method: 'PUT', path: instance, action: 'instance.create', body: provisionBody, handle: provision },
  { ...plain, method: 'PATCH', path: instance, action: 'instance.update', body: updateBody, handle: update },
  { ...plain, method: 'DELETE', path: instance, action: 'instance.delete', needs: both, handle: deprovision },
  { ...plain, method: 'GET', path: instance, action: 'instance.read', handle: show },
  { ...plain, method: 'GET', path: `${instance}/last_operation`, action: 'instance.read', handle: lastOperation },
  { ...plain, method: 'PUT', path: binding, action: 'credential.create', body: bindBody, handle: bind },
  { ...plain, method: 'DELETE', path: binding, action: 'credential.delete', needs: both, handle: unbind },
  { ...plain, method: 'GET', path: binding, action: 'credential.read', handle: showBinding },
  {
    ...plain,
    method: 'GET',
    path: `${binding}/last_operation`,
    action: 'credential.read',
    handle: lastBindingOperation,
  },
  { ...plain, method: 'GET', path: state, action: 'instance.read', handle: showState },
  { ...plain, method: 'PUT', path: state, action: 'instance.enable', body: stateBody, handle: putState },
]

const PREFIX = '/broker'

export const brokerPaths: readonly { method: string; path: string }[] = endpoints.map(({ method, path }) => ({
  method,
  path: PREFIX + path,
}))

/** Whether what is wrong with a request is to be told in OSB's form, before it has a route. */
export function isOfBroker(url: string): boolean {
  return url.startsWith(`${PREFIX}/`)
}

export function addBroker(app: App, doors: Doors): void {
  // In a scope of its own: its errors have OSB's form, and unknown fields are ignored.
  void app.register(
    async scope => {
      scope.setErrorHandler((error, request, reply) => sendRefusal(doors, error, request, reply))
      // What is not found here is refused before this, and in this form because this is here.
      scope.setNotFoundHandler((request, reply) => sendRefusal(doors, refuse('not_found'), request, reply))
      for (const endpoint of endpoints) addEndpoint(scope, doors, endpoint)
    },
    { prefix: PREFIX },
  )
}

type Prepared = Omit<Asked, 'body'>

function addEndpoint(scope: App, doors: Doors, endpoint: Endpoint): void {
  const prepared = new WeakMap<FastifyRequest, Prepared>()
  const schema = endpoint.body && validator(endpoint.body)
  scope.route({
    method: endpoint.method,
    url: endpoint.path.replaceAll(/\{(\w+)\}/g, ':$1'),
    // Before a body is read.
    onRequest: async (request, reply) => {
      echo(request, reply)
      prepared.set(request, await prepare(doors, request, endpoint))
    },
    handler: async (request, reply) => {
      const body = checked(schema, request.body)
      // The hook before has set it, or has refused.
      const ready = prepared.get(request)!
      if (body !== null) {
        // It may have taken its time: who asks, and what they may, is as it is now.
        const ended = shutOut(doors, ready.caller)
        if (ended) throw ended
        await permit(doors, ready.caller, { action: endpoint.action, trace: ready.trace })
      }
      const answered = await endpoint.handle({ ...ready, body })
      return reply.code(answered.status).send(answered.body)
    },
  })
}

/** Who asks, whether they speak a version that we know, whether they may, and what the URL says: in this order. */
async function prepare(doors: Doors, request: FastifyRequest, { path, action, needs }: Endpoint): Promise<Prepared> {
  const { trace } = request.ids
  const caller = await identified(doors, request, { named: undefined })
  await permit(doors, caller, { action, trace })
  refuseVersion(request)
  const url = request.raw.url ?? ''
  const query = queryOf(url, new Set())
  for (const name of needs)
    if (query[name] === undefined) throw invalid('parameter', { name, message: `\`${name}\` is missing in the query.` })
  const who = onBehalfOf(request)
  const by = { subject: caller.subject, from: caller.address, trace }
  return {
    ...{ doors, caller, trace, query, url: foundAt(request, doors) },
    by: who === undefined ? by : { ...by, why: `on behalf of ${who}` },
    params: paramsOf(PREFIX + path, url),
  }
}

/** @throws {Refused} what is not permitted in `default` */
async function permit(
  doors: Doors,
  caller: Caller,
  { action, trace }: Pick<Endpoint, 'action'> & { trace: string },
): Promise<void> {
  const deed = { action, lock: null, instance: SERVICE_INSTANCE }
  const decision = await decide(doors, caller, deed)
  if (!decision.permitted) throw denial(doors, caller, { deed, decision, trace })
}

const VERSION = 'x-broker-api-version'
/** IBM's; what is newer is a superset, up to the next major version. */
const MINOR_MIN = 12

/** Version and support of it are two things for OSB, and one status. */
function refuseVersion({ headers }: FastifyRequest): void {
  const [, minor] = /^2\.([0-9]{1,3})$/.exec(String(headers[VERSION] ?? '')) ?? []
  if (minor !== undefined && Number(minor) >= MINOR_MIN) return
  throw new BrokerRefusal(
    412,
    'UnsupportedVersion',
    `\`X-Broker-API-Version\` must be 2.${MINOR_MIN} or a later 2.x, like 2.17.`,
  )
}

function checked(schema: Validator<never> | null, body: unknown): object | null {
  if (!schema) return null
  if (!schema.accepts(body)) throw invalid('field', schema.misfit(body))
  return body
}

/** By which the platform finds its request again. */
function echo({ headers }: FastifyRequest, reply: FastifyReply): void {
  const identity = headers['x-broker-api-request-identity']
  if (typeof identity === 'string') reply.header('x-broker-api-request-identity', identity)
}
