/** For the tests of this room: a platform that calls a real server in memory, and what it names there. */
import assert from 'node:assert/strict'
import { type Json, ROOT_KEY, type TestServer } from '../../testing.ts'

export type Got = { status: number; body: Json; headers: Record<string, unknown> }
export type Sent = { body?: unknown; headers?: Record<string, string>; authorization?: string; raw?: string }

export const bearer = `Bearer ${ROOT_KEY}`

/** As a platform: OSB's version and a credential go with everything. */
export async function call(server: TestServer, method: string, path: string, sent: Sent = {}): Promise<Got> {
  const { body, raw, headers = {}, authorization = bearer } = sent
  const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body))
  const {
    statusCode,
    body: text,
    headers: received,
  } = await server.app.inject({
    method: method as 'GET', // inject's own list of methods
    url: `/broker${path}`,
    headers: {
      authorization,
      'x-broker-api-version': '2.17',
      ...(payload !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(payload !== undefined && { payload }),
  })
  assert.notEqual(statusCode, 500, `${method} ${path}: ${text}`)
  const parsed = JSON.parse(text) as Json
  if (statusCode >= 400 && statusCode !== 410)
    assert.deepEqual([typeof parsed.error, typeof parsed.description], ['string', 'string'], text)
  return { status: statusCode, body: parsed, headers: received }
}

type Ids = { service_id: string; standard: string; premium: string }

/** Of the service and its two plans, as the catalogue has them. */
export async function idsOf(server: TestServer): Promise<Ids> {
  const [service] = (await call(server, 'GET', '/v2/catalog')).body.services
  const plan = (name: string) => service.plans.find((one: Json) => one.name === name).id as string
  return { service_id: service.id, standard: plan('standard'), premium: plan('premium') }
}

/** One instance, by either of its names; and where one, a binding of one and its state are. */
export const GUID = '3f2504e0-4f89-41d3-9a0c-0305e82c3301'
export const CRN = `crn:v1:bluemix:public:go-etcd-lock:us-south:a/acc1:${GUID}::`
export const at = (id: string) => `/v2/service_instances/${encodeURIComponent(id)}`
export const bindingAt = (id: string, binding: string) => `${at(id)}/service_bindings/${encodeURIComponent(binding)}`
export const stateAt = (id: string) => `/bluemix_v1/service_instances/${encodeURIComponent(id)}`

export type Order = { id?: string; parameters?: object; context?: object; plan?: 'standard' | 'premium' }

/** What is not said is as for most tests: the instance `GUID`, of the plan `standard`. */
export async function order(server: TestServer, { id = GUID, plan = 'standard', ...more }: Order = {}): Promise<Got> {
  const ids = await idsOf(server)
  return call(server, 'PUT', at(id), { body: { service_id: ids.service_id, plan_id: ids[plan], ...more } })
}

export async function bind(server: TestServer, binding: string, more: object = {}, id = GUID): Promise<Got> {
  const { service_id, standard } = await idsOf(server)
  return call(server, 'PUT', bindingAt(id, binding), { body: { service_id, plan_id: standard, ...more } })
}

/** Deletes the instance or binding of this path. */
export async function ended(server: TestServer, path: string): Promise<Got> {
  const { service_id, standard } = await idsOf(server)
  return call(server, 'DELETE', `${path}?service_id=${service_id}&plan_id=${standard}`)
}
