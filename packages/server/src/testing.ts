/** For the tests of the doors: a real server, by default in memory, and what each reply must look like. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { OperationFields } from '@holdfast/protocol/operation'
import { errorBody } from '@holdfast/protocol/schemas'
import { v1 } from '@holdfast/protocol/v1'
import { v2 } from '@holdfast/protocol/v2'
import { Compile, type Validator } from 'typebox/compile'
import { type Clock, systemClock } from './clock.ts'
import { readConfig } from './config/config.ts'
import { systemRandom } from './random.ts'
import { createServer, type Server } from './server.ts'

export const ROOT_KEY = 'the-root-key-of-these-tests'

export type Answer = {
  status: number
  headers: Record<string, string>
  text: string
  /** Parsed, if it is JSON; tests look into it as they like. */
  body: Json
}
// biome-ignore lint/suspicious/noExplicitAny: replies of many shapes are looked into by the tests, which is what checks them
export type Json = any

export type Ask = {
  body?: unknown
  headers?: Record<string, string>
  key?: string | null
  session?: string
  raw?: string | Buffer
}

export type TestServer = Server & {
  ask(method: string, path: string, options?: Ask): Promise<Answer>
  openSession(options?: object): Promise<TestSession>
}
export type TestSession = { id: string; handle: string }

type ServerOptions = { args?: string[]; clock?: Clock; env?: Record<string, string>; engine?: 'memory' | 'lmdb' }

/** Runs `act` with a server of its own, on a free port. */
export async function withServer(
  act: (server: TestServer) => Promise<void>,
  { args = [], clock = systemClock, env = {}, engine = 'memory' }: ServerOptions = {},
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-http-'))
  const config = readConfig({
    args: ['--listen', '127.0.0.1:0', '--engine', engine, '--data', directory, ...args],
    env: { HOLDFAST_ROOT_KEY: ROOT_KEY, ...env },
  })
  const server = await createServer(config, { clock, random: systemRandom })
  try {
    await act({
      ...server,
      ask: (method, path, options) => ask(server, method, path, options),
      openSession: options => openSession(server, options),
    })
  } finally {
    await server.close()
    rmSync(directory, { recursive: true })
  }
}

/** A request without a socket. Whatever comes back must be what the operation declares. */
export async function ask(
  server: Pick<Server, 'app'>,
  method: string,
  path: string,
  { body, headers = {}, key = ROOT_KEY, session, raw }: Ask = {},
): Promise<Answer> {
  const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body))
  const sent: Record<string, string> = {}
  if (payload !== undefined) sent['content-type'] = 'application/json'
  if (key !== null) sent.authorization = `Bearer ${key}`
  if (session !== undefined) sent['holdfast-session'] = session
  const response = await server.app.inject({
    method: method as 'GET',
    url: path,
    headers: { ...sent, ...headers },
    ...(payload !== undefined && { payload }),
  }) // inject's own list of methods
  const received = Object.fromEntries(Object.entries(response.headers).map(([name, value]) => [name, String(value)]))
  const isJson = method !== 'HEAD' && /^application\/(problem\+)?json/.test(received['content-type'] ?? '')
  const answer = {
    status: response.statusCode,
    headers: received,
    text: response.body,
    body: isJson ? JSON.parse(response.body) : undefined,
  }
  checkReply(method, path, answer)
  return answer
}

async function openSession(server: Server, body: object = {}): Promise<TestSession> {
  const opened = await ask(server, 'POST', '/v2/sessions', { body })
  assert.equal(opened.status, 201)
  return { id: opened.body.session_id, handle: `${opened.body.session_id}.${opened.body.session_secret}` }
}

const compiled = new Map<object, Validator>()

function fits(schema: object, value: unknown, what: string): void {
  let check = compiled.get(schema)
  if (!check) {
    check = Compile(schema)
    compiled.set(schema, check)
  }
  if (!check.Check(value))
    assert.fail(
      `${what} is not what its schema says: ${JSON.stringify(check.Errors(value))} in ${JSON.stringify(value)}`,
    )
}

function checkReply(method: string, path: string, { status, body, headers }: Answer): void {
  assert.ok(headers['x-request-id'], `${method} ${path} has no request id`)
  assert.notEqual(status, 500, `${method} ${path}: ${JSON.stringify(body)}`)
  if (status >= 400 && body !== undefined) {
    if (headers['content-type']?.startsWith('application/json')) fits(errorBody, body, `the error of ${method} ${path}`)
    assert.equal(body.trace, headers['x-request-id'])
    return
  }
  const operation = operationOf(method, path)
  if (!operation) return
  const declared = operation.replies[status]
  assert.ok(declared, `${operation.id} does not declare ${status}`)
  if (declared.body) fits(declared.body, body, `the reply of ${operation.id}`)
  else assert.equal(body, undefined)
}

const operations: OperationFields[] = [...Object.values(v1), ...Object.values(v2)]

function operationOf(method: string, path: string): OperationFields | undefined {
  const segments = path.split('?')[0]!.split('/')
  return operations.find(operation => {
    const template = operation.path.split('/')
    return (
      operation.method === method &&
      template.length === segments.length &&
      template.every((part, index) => (part.startsWith('{') ? segments[index] !== '' : part === segments[index]))
    )
  })
}
