/**
 * `/v2/policies` and `/v2/roles` of the emulator. Who replaces something says with `If-Match` which state of it was meant (ECOSYSTEM 1.4), as the
 * `ETag` of a read or of the last change has it.
 */
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { type Random, randomHex } from '../random.ts'
import type { Account } from './accounts.ts'
import { type Answer, okay, Refusal } from './answer.ts'
import { type Policy, policySchema, type Roles, serviceRoles } from './policies.ts'

const POLICIES_MAX = 10_000
const ROLES_MAX = 1_000
const ETAG_BYTES = 16

const closed = { additionalProperties: false } as const
/** What may be changed of a role. */
const roleFields = {
  display_name: Type.String({ minLength: 1, maxLength: 50 }),
  description: Type.Optional(Type.String({ maxLength: 250 })),
  /** `service.object.verb`. */
  actions: Type.Array(Type.String({ pattern: '^[a-z0-9-]+(\\.[a-z0-9-]+)+$' }), { minItems: 1, maxItems: 100 }),
}
const roleChange = Type.Object(roleFields, closed)
const roleSchema = Type.Object(
  {
    ...roleFields,
    name: Type.String({ pattern: '^[A-Z][A-Za-z0-9]{0,29}$' }),
    account_id: Type.String(),
    service_name: Type.String({ minLength: 1 }),
  },
  closed,
)
type Role = Static<typeof roleSchema> & { crn: string }

const checkPolicy = Compile(policySchema)
const checkRole = Compile(roleSchema)
const checkRoleChange = Compile(roleChange)

type Kept<Value> = { value: Value; etag: string }

export type Asked = {
  method: string
  /** `/v2/policies/<id>`, and the like. */
  path: string
  ifMatch: string | undefined
  body(): Promise<unknown>
}

export class Administration {
  readonly #account: Account
  readonly #random: Random
  readonly #policies = new Map<string, Kept<Policy>>()
  readonly #roles = new Map<string, Kept<Role>>()

  constructor({ account, random }: { account: Account; random: Random }) {
    this.#account = account
    this.#random = random
    for (const policy of account.policies ?? []) this.#keep(this.#policies, this.#newId('policy'), policy)
  }

  policies(): Policy[] {
    return [...this.#policies.values()].map(({ value }) => value)
  }

  /** All that a policy may name: IBM's, those of the account, and those that were made here. */
  roles(): Roles {
    const own = [...this.#roles.values()].map(({ value: { crn, actions } }) => [crn, actions] as const)
    return { ...serviceRoles, ...this.#account.roles, ...Object.fromEntries(own) }
  }

  /** null: this is about something else. */
  async answer(asked: Asked): Promise<Answer | null> {
    const [, kind, id] = /^\/v2\/(policies|roles)(?:\/([^/]+))?$/.exec(asked.path) ?? []
    if (kind === undefined) return null
    if (id !== undefined) return kind === 'policies' ? this.#onePolicy(asked, id) : this.#oneRole(asked, id)
    if (asked.method === 'GET') return okay(kind === 'policies' ? this.#allPolicies() : this.#allRoles())
    if (asked.method !== 'POST') throw notAllowed()
    const body = await asked.body()
    return kind === 'policies' ? this.#addPolicy(body) : this.#addRole(body)
  }

  #allPolicies(): object {
    return { policies: [...this.#policies].map(([id, { value }]) => ({ id, ...value })) }
  }

  #allRoles(): object {
    const builtIn = Object.entries(serviceRoles).map(([crn, actions]) => ({
      crn,
      display_name: crn.split(':').at(-1),
      actions,
    }))
    const own = [...this.#roles].map(([id, { value }]) => ({ id, ...value }))
    return { custom_roles: own, service_roles: builtIn, system_roles: [] }
  }

  #addPolicy(body: unknown): Answer {
    const policy = fitting(checkPolicy, body)
    if (this.#policies.size >= POLICIES_MAX) throw new Refusal(409, 'limit', 'There are too many policies.')
    return { ...this.#keep(this.#policies, this.#newId('policy'), policy), status: 201 }
  }

  #addRole(body: unknown): Answer {
    const role = fitting(checkRole, body)
    const { account } = this.#account
    if (role.account_id !== account) throw new Refusal(400, 'invalid_body', 'This is not the account of the emulator.')
    if (this.#roles.size >= ROLES_MAX) throw new Refusal(409, 'limit', 'There are too many roles.')
    const crn = `crn:v1:bluemix:public:iam::a/${account}::customRole:${role.name}`
    if ([...this.#roles.values()].some(({ value }) => value.crn === crn))
      throw new Refusal(409, 'role_exists', 'There is a role of this name.')
    return { ...this.#keep(this.#roles, this.#newId('role'), { ...role, crn }), status: 201 }
  }

  async #onePolicy(asked: Asked, id: string): Promise<Answer> {
    const kept = knownIn(this.#policies, id)
    if (asked.method !== 'PUT') return readOrDeleted(this.#policies, { id, kept, method: asked.method })
    matching(asked, kept)
    return this.#keep(this.#policies, id, fitting(checkPolicy, await asked.body()))
  }

  async #oneRole(asked: Asked, id: string): Promise<Answer> {
    const kept = knownIn(this.#roles, id)
    if (asked.method !== 'PUT') return readOrDeleted(this.#roles, { id, kept, method: asked.method })
    matching(asked, kept)
    const { crn, name, account_id, service_name } = kept.value
    const change = fitting(checkRoleChange, await asked.body())
    return this.#keep(this.#roles, id, { ...change, crn, name, account_id, service_name })
  }

  #keep<Value extends object>(all: Map<string, Kept<Value>>, id: string, value: Value): Answer {
    const etag = `"${randomHex(this.#random, ETAG_BYTES)}"`
    all.set(id, { value, etag })
    return { ...okay({ id, ...value }), etag }
  }

  #newId(kind: string): string {
    return `${kind}-${randomHex(this.#random, 8)}`
  }
}

function knownIn<Value>(all: ReadonlyMap<string, Kept<Value>>, id: string): Kept<Value> {
  const kept = all.get(id)
  if (kept) return kept
  throw new Refusal(404, 'not_found', 'There is no such thing.')
}

function readOrDeleted<Value extends object>(
  all: Map<string, Kept<Value>>,
  { id, kept, method }: { id: string; kept: Kept<Value>; method: string },
): Answer {
  if (method === 'GET') return { ...okay({ id, ...kept.value }), etag: kept.etag }
  if (method !== 'DELETE') throw notAllowed()
  all.delete(id)
  return { status: 204, body: null }
}

/** Whether it exists is said before: so the handbook orders its checks (ECOSYSTEM 1.6). */
function matching({ ifMatch }: Asked, { etag }: Kept<unknown>): void {
  if (ifMatch === undefined) throw new Refusal(400, 'missing_header', 'The header `If-Match` is needed.')
  if (ifMatch !== etag) throw new Refusal(412, 'precondition_failed', 'It has changed since this `ETag` was read.')
}

function notAllowed(): Refusal {
  return new Refusal(405, 'method_not_allowed', 'The path exists, the method does not.')
}

type Check<Value> = {
  Check(value: unknown): value is Value
  Errors(value: unknown): { instancePath: string; message: string }[]
}

function fitting<Value>(check: Check<Value>, body: unknown): Value {
  if (check.Check(body)) return body
  const [first] = check.Errors(body)
  throw new Refusal(400, 'invalid_body', `${first?.instancePath || 'The body'} ${first?.message ?? 'is not valid'}.`)
}
