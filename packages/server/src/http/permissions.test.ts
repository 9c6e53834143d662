/**
 * All operations and messages × all built-in roles and none × names of one's own, of others and such as look alike × one's own instance and another,
 * against the table of docs/access/permissions.md. Whether something is permitted must not depend on anything else.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Agent, request as httpRequest } from 'node:http'
import { test } from 'node:test'
import type { ClientRequest } from '@holdfast/protocol/frame'
import { LOCK_NAME_BYTES_MAX } from '@holdfast/protocol/limits'
import type { OperationFields } from '@holdfast/protocol/operation'
import { WebSocket } from 'ws'
import type { Identity } from '../auth/identity.ts'
import { systemClock } from '../clock.ts'
import type { Command } from '../locks/model.ts'
import { builtInRoles, tenantActions } from '../policies/roles.ts'
import { person } from '../policies/testing.ts'
import type { Put } from '../registry/port.ts'
import { keyWithin } from '../registry/records.ts'
import { instanceRecord, policyRecord } from '../registry/testing.ts'
import type { Json } from '../testing.ts'
import type { Route } from './call.ts'
import { actionOf } from './connect/commands.ts'
import { refuse } from './reply.ts'
import { type TestDoors, withDoors } from './testing.ts'
import { v1Routes } from './v1/index.ts'
import { v2Routes } from './v2/index.ts'

const routes = [...v1Routes, ...v2Routes]
const roles = [...Object.keys(builtInRoles), 'none']

// ---------------------------------------------------------------------------------------------------- the table

type Row = { needed: string; roles: Set<string> }

function table(): Map<string, Row> {
  const page = readFileSync(new URL('../../../../docs/access/permissions.md', import.meta.url), 'utf8')
  const rows = new Map<string, Row>()
  let titles: string[] = []
  for (const text of page.split('\n').filter(candidate => candidate.startsWith('| '))) {
    const cells = text.slice(2, -2).split(' | ')
    const marks = cells.slice(-Object.keys(builtInRoles).length)
    if (cells.includes('Reader')) titles = marks.map(title => title.toLowerCase())
    else
      rows.set(cells[0]!, {
        needed: cells.at(-1 - marks.length)!,
        roles: new Set(titles.filter((_, index) => marks[index] === 'yes')),
      })
  }
  return rows
}

const rows = table()

function rowOf({ version, id }: OperationFields): Row {
  const row = rows.get(`${version} \`${id}\``)
  assert.ok(row, `${version} ${id} is not in the table: npm run generate`)
  return row
}

// ---------------------------------------------------------------------------------------------------- names

/** What the policies of the test grant. */
const granted = ['team/a', 'team/a/*', 'caf\u00e9', '..', 'x%2Fy']

/** `own`: one of the patterns matches. `some`: a name that begins with it may be permitted. `all`: every one is. */
const names: { name: string; own: boolean; some: boolean; all: boolean }[] = [
  { name: 'team/a', own: true, some: true, all: false },
  { name: 'team/a/b', own: true, some: true, all: true },
  { name: 'team/a/', own: true, some: true, all: true },
  { name: 'team/a/../../other', own: true, some: true, all: true },
  { name: 'caf\u00e9', own: true, some: true, all: false },
  { name: '..', own: true, some: true, all: false },
  { name: 'x%2Fy', own: true, some: true, all: false },
  { name: 'other', own: false, some: false, all: false },
  { name: 'team', own: false, some: true, all: false },
  { name: 'team/ab', own: false, some: false, all: false },
  { name: 'team/A', own: false, some: false, all: false },
  { name: 'Team/a', own: false, some: false, all: false },
  { name: 'team%2Fa', own: false, some: false, all: false },
  { name: 'team/a ', own: false, some: false, all: false },
  { name: 'team/\u0430', own: false, some: false, all: false },
  { name: 'cafe\u0301', own: false, some: false, all: false },
  { name: '.', own: false, some: true, all: false },
  { name: '...', own: false, some: false, all: false },
  { name: 'x/y', own: false, some: false, all: false },
  { name: 'x%252Fy', own: false, some: false, all: false },
]

const few = new Set(['team/a', 'team/a/b', '..', 'other', 'team/ab'])

// ---------------------------------------------------------------------------------------------------- requests

/** Of operations whose body cannot be left out and has no example that will do. */
const bodies: Record<string, (name: string) => Json> = {
  'v1 renewLock': () => ({ lock_id: 's-1.x' }),
  'v1 releaseLock': () => ({ lock_id: 's-1.x' }),
  'v2 releaseLock': () => ({ token: 1 }),
  'v2 transferLock': () => ({ token: 1, to_session: 's-1' }),
  'v2 cancelRequest': () => ({ request_id: 'r' }),
  'v2 validateToken': () => ({ token: 1 }),
  'v2 writeValue': () => ({ token: 1, value: '' }),
  'v2 forceRelease': () => ({ reason: 'test' }),
  'v2 preemptLock': () => ({ reason: 'test' }),
  'v2 freeze': name => ({ prefix: name, until: '2090-01-01T00:00:00Z', reason: 'test' }),
  'v2 acquireAll': name => ({ locks: [{ name: 'team/a' }, { name }].slice(name === 'team/a' ? 1 : 0) }),
  'v2 releaseAll': name => ({ grants: [{ name, token: 1 }] }),
  'v2 campaign': () => ({ value: '' }),
  'v2 proclaim': () => ({ token: 1, value: '' }),
  'v2 resign': () => ({ token: 1 }),
  'v2 putPolicy': () => ({ subjects: ['*'], roles: ['reader'] }),
  'v2 putPlan': () => ({
    title: 't',
    description: '',
    price_usd: 1,
    per_units: 1,
    min_units: 1,
    step_units: 1,
    allows_overrides: false,
    unit: {
      operations_per_second: null,
      burst_operations: null,
      held_locks: null,
      sessions: null,
      waiters: null,
      watches: null,
      stored_bytes: null,
    },
    state: 'offered',
  }),
}

function bodyOf(operation: OperationFields, name: string): Json {
  if (!operation.body) return undefined
  return bodies[`${operation.version} ${operation.id}`]?.(name) ?? operation.bodyExample ?? {}
}

/** Where in the request the name stands; null: nowhere. */
function kindOf(operation: OperationFields): 'name' | 'some' | 'all' | null {
  if (/^v2 (acquireAll|releaseAll)$/.test(`${operation.version} ${operation.id}`)) return 'name'
  if (operation.action === 'lock.freeze') return 'all'
  if ('name' in operation.params.properties && operation.path.includes('{name}')) return 'name'
  return 'prefix' in operation.query.properties ? 'some' : null
}

/** What the clock of the server says, whenever it is asked: so that answers of one time can be compared. */
const TODAY = '2090-01-01T00:00:00.000Z'
const clock = { ...systemClock, wallMs: () => Date.parse(TODAY) }

function pathOf(operation: OperationFields, { name, instance }: { name: string; instance: string }): string {
  const values: Record<string, string> = { name, instance, session_id: 's-1' }
  const path = operation.path.replaceAll(/\{(\w+)\}/g, (_, key: string) => encodeURIComponent(values[key] ?? 'some-id'))
  const query = 'prefix' in operation.query.properties ? [`prefix=${encodeURIComponent(name)}`] : []
  if (operation.query.required?.includes('at')) query.push(`at=${TODAY}`)
  return query.length === 0 ? path : `${path}?${query.join('&')}`
}

type Got = { status: number; body: Json }
type Sender = (
  operation: OperationFields,
  asked: { key: string; name: string; named?: string; instance?: string },
) => Promise<Got>

/** Over a socket, as a client library of URLs would make another path of `..`. */
function sender(url: string, agent: Agent): Sender {
  const { hostname, port } = new URL(url)
  return (operation, { key, name, named, instance = 'mine' }) =>
    new Promise((resolve, reject) => {
      const body = bodyOf(operation, name)
      const headers: Record<string, string> = { authorization: `Bearer ${key}` }
      if (body !== undefined) headers['content-type'] = 'application/json'
      if (named !== undefined) headers['holdfast-instance'] = named
      const path = pathOf(operation, { name, instance })
      const sent = httpRequest({ hostname, port, agent, method: operation.method, path, headers }, response => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', part => {
          text += part
        })
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: text === '' ? undefined : JSON.parse(text) }),
        )
      })
      sent.on('error', reject)
      sent.end(body === undefined ? undefined : JSON.stringify(body))
    })
}

const codeOf = ({ status, body }: Got) => (status >= 400 ? String(body.errors[0].code) : 'ok')
const withoutTrace = ({ status, body }: Got) => ({
  status,
  body: JSON.parse(JSON.stringify(body ?? null, (key, value) => (key === 'trace' ? undefined : value))),
})

/** Every handler says that it has been reached, so nothing is changed and all that is asked is what is permitted. */
const REACHED = 'reached'
const stubs = (): Route[] =>
  routes.map(route => ({
    ...route,
    handle: async () => {
      throw refuse('unavailable', REACHED)
    },
  }))

/** Somebody for each role: by a credential of the instance, and by policies on the names that are granted. */
function world(): { puts: Put[]; people: Record<string, Identity> } {
  const puts: Put[] = ['mine', 'foreign'].map(id => ({ kind: 'instance', id, value: instanceRecord({ id }) }))
  const people: Record<string, Identity> = {}
  for (const role of roles) {
    const own = role === 'none' ? [] : [role]
    people[`credential-${role}`] = person({ subject: `key:c-${role}`, instance: 'mine', roles: own })
    people[`policy-${role}`] = person({ subject: `iam:${role}`, kind: 'token' })
    people[`group-${role}`] = person({ subject: `key:g-${role}`, instance: 'mine', groups: [role] })
    people[`operator-${role}`] = person({ subject: `key:o-${role}`, instance: 'default', roles: own })
    // Everybody may enter; what nobody grants is nothing.
    const value = policyRecord({
      id: `p-${role}`,
      instance: 'mine',
      subjects: [`iam:${role}`, `group:${role}`],
      roles: [role],
      locks: granted,
    })
    puts.push({ kind: 'policy', id: value.id, value })
  }
  return { puts, people }
}

async function withSender(
  act: (send: Sender, test: TestDoors) => Promise<void>,
  options: Parameters<typeof withDoors>[1],
): Promise<void> {
  await withDoors(
    async doors => {
      const agent = new Agent({ keepAlive: true, maxSockets: 8 })
      try {
        await act(sender(await doors.listen(), agent), doors)
      } finally {
        agent.destroy()
      }
    },
    { clock, ...options },
  )
}

/** Whether the answer is that of somebody who may; it must be one of the two. */
function wasPermitted(operation: OperationFields, got: Got, about: string): boolean {
  if (codeOf(got) === 'unavailable' && got.body.errors[0].message === REACHED) return true
  const refused =
    operation.action === 'lock.read' || operation.scope === 'named_instance'
      ? ['not_found', 'ok', 'forbidden']
      : ['forbidden']
  assert.ok(refused.includes(codeOf(got)), `${about}: ${got.status} ${JSON.stringify(got.body)}`)
  return false
}

test('every operation permits each role what the table says, on the names that are granted and on no others', async () => {
  await withSender(
    async send => {
      for (const { operation } of routes) {
        const row = rowOf(operation)
        const kind = kindOf(operation)
        const inOwn = operation.scope !== 'service'
        for (const role of roles) {
          const has = operation.action === null || row.roles.has(role)
          const about = (rest: string) => `${operation.id} ${role} ${rest}`
          for (const { name, own, some, all } of kind === null ? names.slice(0, 1) : names) {
            const fits =
              kind === null ? tenantActions.has(operation.action ?? 'lock.read') : { name: own, some, all }[kind]
            for (const [key, named, expected] of [
              [`credential-${role}`, undefined, has && inOwn],
              [`policy-${role}`, 'mine', has && inOwn && fits],
              [`group-${role}`, undefined, has && inOwn && fits],
            ] as const) {
              // The names are looked at in one place only, whoever asks: a few will do for the others.
              if (named === undefined && !few.has(name)) continue
              // Nothing to be permitted, but the instance must be one that may be entered.
              const permitted = operation.action === null || expected
              const got = await send(operation, { key, name, ...(named && { named }) })
              assert.equal(
                wasPermitted(operation, got, about(`${key} ${name}`)),
                permitted,
                about(`${key} ${JSON.stringify(name)}: ${JSON.stringify(got)}`),
              )
            }
          }
        }
      }
    },
    { ...world(), routes: stubs() },
  )
})

test('the root key may do everything, and every request of this test is one that could be carried out', async () => {
  await withSender(
    async send => {
      for (const { operation } of routes)
        for (const { name } of names)
          assert.equal(
            (await send(operation, { key: 'root', name, named: 'mine' })).body.errors[0].message,
            REACHED,
            `${operation.id} ${name}`,
          )
    },
    { ...world(), routes: stubs() },
  )
})

test('an instance that is not one’s own answers like one that is not there, for every operation and role', async () => {
  await withSender(
    async send => {
      for (const { operation } of routes) {
        for (const role of roles) {
          for (const key of [`credential-${role}`, `policy-${role}`, `operator-${role}`]) {
            const about = `${operation.id} ${key}`
            const foreign = await send(operation, { key, name: 'team/a', named: 'foreign' })
            assert.deepEqual([foreign.status, codeOf(foreign)], [404, 'not_found'], about)
            assert.deepEqual(
              withoutTrace(foreign),
              withoutTrace(await send(operation, { key, name: 'team/a', named: 'none-such' })),
              about,
            )
          }
          if (operation.scope !== 'named_instance') continue
          const names = ['foreign', 'none-such'].map(instance =>
            send(operation, { key: `credential-${role}`, name: 'x', instance }),
          )
          const [there, notThere] = (await Promise.all(names)).map(got => JSON.stringify(withoutTrace(got)))
          assert.equal(there?.replace('foreign', ''), notThere?.replace('none-such', ''), `${operation.id} ${role}`)
        }
      }
    },
    { ...world(), routes: stubs() },
  )
})

test('what concerns the service is permitted to those to whom it is permitted in `default`', async () => {
  await withSender(
    async send => {
      for (const { operation } of routes.filter(({ operation: { scope } }) => scope !== undefined))
        for (const role of roles) {
          const got = await send(operation, { key: `operator-${role}`, name: 'x', instance: 'foreign' })
          assert.equal(
            wasPermitted(operation, got, operation.id),
            rowOf(operation).roles.has(role),
            `${operation.id} ${role}`,
          )
        }
    },
    { ...world(), routes: stubs() },
  )
})

test('what may not be read answers like what is not there, on every operation that reads, and is noted all the same', async () => {
  const { puts, people } = world()
  await withSender(
    async (send, doors) => {
      const { registry } = doors
      const hidden = 'team/ab'
      const missing = 'team/zz'
      await use(doors, hidden)
      for (const { operation } of routes.filter(({ operation: { action } }) => action === 'lock.read')) {
        const answer = async (key: string, name: string) =>
          JSON.stringify(withoutTrace(await send(operation, { key, name, named: 'mine' })))
            .replaceAll(encodeURIComponent(name), '')
            .replaceAll(name, '')
        const there = await answer('root', hidden)
        const notThere = await answer('root', missing)
        assert.notEqual(there, notThere, `${operation.id}: this lock is seen by those who may`)
        assert.equal(await answer('policy-reader', hidden), notThere, operation.id)
        assert.equal(await answer('policy-none', hidden), await answer('policy-none', missing), operation.id)
        const { body } = await send(operation, { key: 'policy-none', name: hidden, named: 'mine' })
        assert.equal(body.errors?.[0].code, 'forbidden', `${operation.id}: who may read nothing at all is told that`)
        assert.notEqual(await answer('credential-reader', hidden), notThere, `${operation.id}: by a role on all names`)
      }
      const noted = registry.noted.filter(deed => deed.target === `lock/${hidden}` && deed.by === 'iam:reader')
      assert.equal(noted.length, routes.filter(({ operation: { action } }) => action === 'lock.read').length)
      assert.deepEqual([noted[0]?.outcome, noted[0]?.from, noted[0]?.instance], ['denied', '127.0.0.1', 'mine'])
    },
    { puts, people },
  )
})

/** Holds it, with a value and a configuration. By the shards themselves: `..` is no path that `inject` could ask for. */
async function use({ shards }: TestDoors, lock: string): Promise<void> {
  const ask = (command: Command) =>
    new Promise<Json>((answer, fail) => void shards.submit('mine', command, { answer, fail }))
  const by = 'test'
  const { session } = await ask({ type: 'open_session', by, ttlMs: 60_000, labels: null })
  const claims = [{ lock, mode: 'exclusive' as const, permits: 1, limit: 0, maxHoldMs: null, lockDelayMs: null }]
  const rest = { waitMs: 0, priority: 0, preempt: 'never', isReentrant: false, task: '', request: null } as const
  const acquire = { ...rest, labels: null, metadata: null, value: 'v' }
  assert.ok((await ask({ type: 'acquire', by, session: session.id, claims, ...acquire })).ok)
  const fields = { description: 'd' }
  assert.ok((await ask({ type: 'configure', by, lock, fields, replaces: false, ifVersion: null })).ok)
}

// ---------------------------------------------------------------------------------------------------- the WebSocket

const messages: Record<keyof typeof actionOf, (name: string) => Json> = {
  renew: () => ({}),
  acquire: name => ({ name, wait_ms: 0 }),
  acquire_all: name => ({ locks: [{ name }], wait_ms: 0 }),
  release: name => ({ name, token: 1 }),
  release_all: name => ({ grants: [{ name, token: 1 }] }),
  cancel: () => ({ request_id: 1 }),
  transfer: name => ({ name, token: 1, to_session: 's-1' }),
  validate: name => ({ name, token: 1 }),
  value: name => ({ name }),
  write_value: name => ({ name, token: 1, value: '' }),
  show: name => ({ name }),
  queue: name => ({ name }),
  watch: name => ({ name }),
  unwatch: () => ({ watch: 1 }),
  close: () => ({}),
}

class Client {
  readonly #socket: WebSocket
  readonly #waiting = new Map<number, (message: Json) => void>()
  #id = 0

  constructor(url: string, key: string, named: string) {
    this.#socket = new WebSocket(`${url.replace('http', 'ws')}/v2/connect`, {
      headers: { authorization: `Bearer ${key}`, 'holdfast-instance': named },
    })
    this.#socket.on('message', data => {
      for (const message of JSON.parse(String(data)) as Json[]) {
        const id = message.type === 'welcome' ? 0 : message.type === 'reply' ? message.id : -1
        this.#waiting.get(id)?.(message)
      }
    })
  }

  async hello(): Promise<Json> {
    await new Promise((resolve, reject) => this.#socket.once('open', resolve).once('error', reject))
    return this.#ask(0, { type: 'hello' })
  }

  request(type: ClientRequest['type'], fields: Json): Promise<Json> {
    const id = ++this.#id
    return this.#ask(id, { type, id, ...fields })
  }

  close(): void {
    this.#socket.terminate()
  }

  #ask(id: number, message: Json): Promise<Json> {
    return new Promise(resolve => {
      this.#waiting.set(id, resolve)
      this.#socket.send(JSON.stringify([message]))
    })
  }
}

test('every message permits each role what the table says; what may not be read answers like what is not there', async () => {
  const { puts, people } = world()
  // So that roles that may open no session can be asked about their messages too.
  const value = { id: 'connects', instance: 'mine', title: '', actions: ['session.open' as const] }
  puts.push({ kind: 'role', id: keyWithin('mine', 'connects'), value })
  const everybody = policyRecord({
    id: 'connect',
    instance: 'mine',
    subjects: Object.values(people).map(({ subject }) => subject),
    roles: ['connects'],
    locks: ['nothing'],
  })
  puts.push({ kind: 'policy', id: 'connect', value: everybody })
  await withDoors(
    async doors => {
      const url = await doors.listen()
      for (const { name } of names) await use(doors, name)
      for (const role of roles) {
        for (const by of ['credential', 'policy']) {
          const client = new Client(url, `${by}-${role}`, 'mine')
          assert.equal((await client.hello()).type, 'welcome')
          for (const type of Object.keys(messages) as (keyof typeof actionOf)[]) {
            if (type === 'close') continue
            const row = rows.get(`\`${type}\``)
            assert.ok(row, `${type} is not in the table`)
            for (const { name, own } of names) {
              const about: string = `${type} ${by}-${role} ${name}`
              const named = JSON.stringify(messages[type](name)).includes(JSON.stringify(name))
              const expected: boolean = row.roles.has(role) && (own || by === 'credential' || !named)
              const { error }: Json = await client.request(type, messages[type](name))
              if (actionOf[type] === 'lock.read') {
                const absent = await client.request(type, messages[type]('no-such'))
                assert.equal(JSON.stringify(error) !== JSON.stringify(absent.error), expected, about)
                // Who may read nothing at all is told that.
                if (!expected) assert.equal(error.code, row.roles.has(role) ? 'not_found' : 'forbidden')
              } else assert.equal(error?.code !== 'forbidden', expected, `${about}: ${JSON.stringify(error)}`)
            }
          }
          const closed = await client.request('close', {})
          assert.equal(closed.error?.code !== 'forbidden', rows.get('`close`')?.roles.has(role))
          client.close()
        }
      }
    },
    { puts, people },
  )
})

test('a hello needs the permission to open sessions, and an instance that may be entered', async () => {
  const { puts, people } = world()
  await withDoors(
    async ({ listen }) => {
      const url = await listen()
      for (const role of roles) {
        const client = new Client(url, `credential-${role}`, 'mine')
        const greeted = await client.hello()
        assert.equal(greeted.type === 'welcome', rows.get('`hello`')?.roles.has(role), role)
        if (greeted.type !== 'welcome') assert.equal(greeted.error.code, 'forbidden')
        client.close()
        for (const instance of ['foreign', 'none-such'])
          await assert.rejects(new Client(url, `credential-${role}`, instance).hello(), /404/)
      }
    },
    { puts, people },
  )
})

test('the names of this test can be names of locks', () => {
  for (const { name } of names) assert.ok(Buffer.byteLength(name) <= LOCK_NAME_BYTES_MAX)
})
