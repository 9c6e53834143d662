/**
 * Two teams that share a server, each with an instance full of what the other must never see, and everybody who may call: each built-in role of each,
 * a key without rights, keys that are over, a token, the operator, nobody. And what the table of permissions says that each may do.
 */
import { strict as assert } from 'node:assert'
import { readFileSync } from 'node:fs'
import type { OperationFields } from '@holdfast/protocol/operation'
import type { Ask } from './rest.ts'

export const roles = ['reader', 'writer', 'manager', 'viewer', 'operator', 'editor', 'administrator'] as const
export type Role = (typeof roles)[number]

/** Somebody who calls. */
export type Who = {
  name: string
  /** What is presented; null: nothing. */
  key: string | null
  /** What the key belongs to; null: to none. */
  instance: string | null
  /** What it may do: all, what a role may, or nothing; on a token's own names. */
  power: Role | 'all' | null
  /** Whether the service believes who it is. */
  isKnown: boolean
  /** The names that a policy grants it, instead of all of its instance. */
  only?: { instance: string; prefix: string }
}

export type Team = {
  id: string
  whos: Who[]
  session: { id: string; handle: string }
  /** Of a grant of `/v1`, made with the idempotency key `k`. */
  lockId: string
  token: number
  ids: { credentials: string[]; policies: string[]; roles: string[] }
  cursors: string[]
  /** By what must be permitted for them to be seen. */
  canaries: Record<Seen, string[]>
  /** Never in any answer. */
  secrets: string[]
}

/** What is seen by whom: locks, and the records of the instance. */
export type Seen = 'locks' | 'trail' | 'credentials' | 'policies' | 'roles' | 'instance'

/** Each of these roles sees it; the trail shows all that is done with locks, and what was written. */
const seenBy: Record<Seen, readonly Role[]> = {
  locks: ['reader', 'writer', 'manager'],
  trail: ['manager'],
  credentials: ['editor', 'administrator'],
  policies: ['administrator'],
  roles: ['administrator'],
  instance: ['viewer', 'operator', 'editor', 'administrator'],
}

/** The names that the token may use, in the team that lets it in. */
export const GRANTED = 'granted/'

// ---------------------------------------------------------------------------------------------------- making them

type Ok = (method: string, path: string, body?: object, headers?: Record<string, string>) => Promise<Fields>
type Fields = Record<string, unknown>

/** @param ask as the operator. `guest`: a subject of none that is granted to write the names under `GRANTED`. */
export async function makeTeam(ask: Ask, { name, guest }: { name: string; guest?: string }): Promise<Team> {
  const canary = (what: string) => `canary-${name}-${what}-${Math.trunc(process.hrtime()[1] % 1e6)}`
  const names = { instance: canary('instance'), credential: canary('credential') }
  const created = await asked(ask)('POST', '/v2/instances', {
    name: names.instance,
    plan: 'premium',
    overrides: { operations_per_second: null, sessions: null, watches: null },
  })
  const id = String(created.id)
  const within = asked(ask, { 'holdfast-instance': id })
  const whos: Who[] = []
  const keys: Minted[] = []
  for (const power of [...roles, null]) {
    const made = await makeKey(within, { name: names.credential, roles: power === null ? [] : [power] })
    keys.push(made)
    whos.push({ name: `${name} ${power ?? 'powerless'}`, key: made.key, instance: id, power, isKnown: true })
  }
  const former = await makeKey(within, { name: names.credential, roles: [] })
  const reason = canary('reason')
  await within('POST', `/v2/credentials/${former.id}/revoke`, { reason })
  const locks = await plantLocks(within, canary)
  const policies = { title: canary('role'), description: canary('policy') }
  await within('PUT', '/v2/roles/worker', { title: policies.title, actions: ['lock.read'] })
  const subjects = [guest ?? 'iam:nobody']
  const policy = { subjects, roles: ['writer'], locks: [`${GRANTED}*`], description: policies.description }
  const { id: policyId } = await within('POST', '/v2/policies', policy)
  const { records, next } = await within('GET', '/v2/audit?limit=2')
  return {
    id,
    whos,
    ...locks.made,
    ids: { credentials: keys.map(key => key.id), policies: [String(policyId)], roles: ['worker'] },
    // The contract's shapes.
    cursors: [String((records as Fields[])[0]?.id), String((next as Fields | undefined)?.start ?? 'none')],
    canaries: {
      locks: locks.canaries,
      trail: [reason],
      credentials: [names.credential],
      policies: [policies.description],
      roles: [policies.title],
      instance: [names.instance],
    },
    secrets: [...locks.secrets, ...keys.map(({ key }) => secretOf(key))],
  }
}

type Minted = { id: string; key: string }

export async function makeKey(within: Ok, fields: object): Promise<Minted> {
  const { credential, api_key } = await within('POST', '/v2/credentials', fields)
  return { id: String((credential as Fields).id), key: String(api_key) } // the contract's shape
}

/** `hfk_<id>_<secret>`, or a handle `<id>.<secret>`. */
export function secretOf(text: string): string {
  return text.startsWith('hfk_') ? text.split('_').slice(2).join('_') : text.slice(text.indexOf('.') + 1)
}

/** The same names for every team, and one that only its own can know. */
async function plantLocks(within: Ok, canary: (what: string) => string) {
  const said = ['name', 'label', 'description', 'metadata', 'value', 'session', 'holder', 'frozen', 'leader'].map(
    canary,
  )
  const [name, label, description, metadata, value, session, holder, frozen, leader] = said as [string, ...string[]]
  const opened = await within('POST', '/v2/sessions', { ttl_ms: 86_400_000, labels: { team: session } })
  const handle = `${opened.session_id}.${opened.session_secret}`
  const as = { 'holdfast-session': handle }
  for (const lock of ['shared', name]) {
    await within('PUT', `/v2/locks/${lock}`, { labels: { team: label }, description })
    const body = { labels: { team: label }, metadata: { text: metadata } }
    const { token } = await within('POST', `/v2/locks/${lock}/acquire`, body, as)
    await within('PUT', `/v2/locks/${lock}/value`, { token, value }, as)
  }
  const { token } = await within('POST', '/v2/elections/leader/campaign', { value: leader }, as)
  await within('PUT', `/v2/locks/${encodeURIComponent(`${GRANTED}a`)}`, { description: 'for the guest' })
  await within('POST', '/v2/freezes', { prefix: 'frozen/', until: '2126-01-01T00:00:00Z', reason: frozen })
  const old = { holder, ttl_seconds: 3_600 }
  const { lock_id } = await within('POST', '/v1/locks/old/acquire', old, { 'idempotency-key': 'k' })
  return {
    made: { session: { id: String(opened.session_id), handle }, lockId: String(lock_id), token: Number(token) },
    canaries: said,
    secrets: [secretOf(handle), secretOf(String(lock_id))],
  }
}

/** Insists on success. */
export function asked(ask: Ask, headers: Record<string, string> = {}): Ok {
  return async (method, path, body, more) => {
    const { status, body: answer } = await ask(method, path, body, { ...headers, ...more })
    assert.ok(status < 300, `${method} ${path}: ${status} ${JSON.stringify(answer)}`)
    return answer
  }
}

// ---------------------------------------------------------------------------------------------------- the state of one

/** Differs from one look to the next though nobody has done anything. */
const passing = new Set(['expires_at', 'last_used_at', 'waited_ms', 'estimate_ms', 'href', 'first'])

/** All that there is in an instance, as the operator sees it. */
export async function stateOf(ask: Ask, team: Pick<Team, 'id' | 'session'>): Promise<unknown> {
  const within = { 'holdfast-instance': team.id }
  const look = async (path: string, headers = {}) => ask('GET', path, undefined, { ...within, ...headers })
  const locks = await look('/v2/locks?limit=1000')
  // The contract's shape; an instance that is gone has none.
  const names = ((locks.body.locks ?? []) as { name: string }[]).map(({ name }) => encodeURIComponent(name))
  const all = await Promise.all([
    look(`/v2/instances/${team.id}`),
    ...['freezes', 'credentials', 'policies', 'roles'].map(kind => look(`/v2/${kind}`)),
    look(`/v2/sessions/${team.session.id}`, { 'holdfast-session': team.session.handle }),
    ...names.flatMap(name => [look(`/v2/locks/${name}`), look(`/v2/locks/${name}/queue`)]),
  ])
  const text = JSON.stringify([locks, ...all], (key, value) =>
    passing.has(key) || key === 'trace' ? undefined : value,
  )
  return JSON.parse(text)
}

// ---------------------------------------------------------------------------------------------------- what they may

export type Table = ReadonlyMap<string, ReadonlySet<string>>

/** Operation or message → roles, as the page says. */
export function permissionTable(): Table {
  const page = readFileSync(new URL('../../docs/access/permissions.md', import.meta.url), 'utf8')
  const table = new Map<string, Set<string>>()
  let titles: string[] = []
  for (const line of page.split('\n').filter(text => text.startsWith('| '))) {
    const cells = line.slice(2, -2).split(' | ')
    const marks = cells.slice(-roles.length)
    if (cells.includes('Reader')) titles = marks.map(title => title.toLowerCase())
    else table.set(cells[0] ?? '', new Set(titles.filter((_, index) => marks[index] === 'yes')))
  }
  return table
}

export type Asked = { who: Who; operation: OperationFields; named: string | undefined; inPath: string | undefined }

/** Whether it may be, as far as the credential and the two places where an instance is named say. */
export function may(table: Table, { who, operation, named, inPath }: Asked): boolean {
  if (!who.isKnown) return false
  if (who.power === 'all') return true
  const entered = named ?? who.instance ?? 'default'
  const own = who.only?.instance ?? who.instance
  // Somebody who belongs to no instance is in `default`, without rights, unless told otherwise.
  if (entered !== own) return operation.action === null && who.instance === null && named === undefined
  if (operation.action === null) return true
  if (operation.scope === 'service' || (operation.scope === 'named_instance' && inPath !== own)) return false
  return who.power !== null && (table.get(`${operation.version} \`${operation.id}\``)?.has(who.power) ?? false)
}

/** What of this team somebody must not be shown, by this operation if one is named: the trail says what was written to whoever reads it. */
export function hiddenFrom(who: Who, team: Team, operation?: Pick<OperationFields, 'action'>): string[] {
  const isOwn = who.isKnown && who.instance === team.id
  return Object.entries(team.canaries).flatMap(([kind, canaries]) => {
    const seers = [...seenBy[kind as Seen], ...(operation?.action === 'audit.read' ? seenBy.trail : [])] // its keys
    const mayLook = isOwn && who.power !== null && seers.some(role => role === who.power)
    return mayLook || (who.isKnown && who.power === 'all') ? [] : canaries
  })
}
