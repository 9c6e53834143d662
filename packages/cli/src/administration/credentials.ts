/** Credentials, as the verbs `credential` and `resource` show and change them. */
import type { Rest } from '@holdfast/client'
import { CommandFailure, exitCodes } from '../exit.ts'
import { facts, note, printJson, printLine, safe, table } from '../output.ts'
import { allOf } from './pages.ts'

export type CredentialView = {
  id: string
  name: string
  instance: string
  subject: string
  groups: string[]
  roles: string[]
  state: string
  createdAt: string
  createdBy: string
  expiresAt?: string
  replacedBy?: string
  lastUsedAt?: string
}
export type NewCredential = { credential: CredentialView; apiKey: string; url: string }

export function allCredentials(rest: Rest): Promise<CredentialView[]> {
  return allOf(rest, '/v2/credentials', 'credentials')
}

/** By id, or by name: of those that rotations have left under one name the newest. */
export async function findCredential(rest: Rest, named: string): Promise<CredentialView> {
  return credentialOf(await allCredentials(rest), named)
}

export function credentialOf(all: readonly CredentialView[], named: string): CredentialView {
  const byId = all.find(({ id }) => id === named)
  const byName = all.filter(({ name, replacedBy }) => name === named && replacedBy === undefined)
  const active = byName.filter(({ state }) => state === 'active')
  const found = byId ?? (active.length === 1 ? active[0] : byName.length === 1 ? byName[0] : undefined)
  if (found) return found
  const why =
    byName.length > 1
      ? `Several credentials are called ${safe(named)}: say the id of one (${byName.map(({ id }) => id).join(', ')}).`
      : `There is no credential ${safe(named)}; \`holdfast credential list\` shows those that there are.`
  throw new CommandFailure(exitCodes.usage, why)
}

/** That one and, when it was found by its name, the older ones that it has replaced and that still go on after rotations. */
export async function withOlder(rest: Rest, found: CredentialView, named: string): Promise<CredentialView[]> {
  if (found.id === named) return [found]
  const all = await allCredentials(rest)
  // Where a key between them has been deleted nothing leads to the older ones any more but what they are called.
  const cutOff = all.filter(
    ({ name, subject, replacedBy: by }) =>
      name === found.name && subject === found.subject && by !== undefined && all.every(({ id }) => id !== by),
  )
  const older = [found, ...cutOff].flatMap(one => replacedBy(one, all))
  return [found, ...[...cutOff, ...older].filter(({ state }) => state === 'active')]
}

/** Not all of its subject: another binding may have taken that over, and keys go on there. */
function replacedBy({ id }: CredentialView, all: readonly CredentialView[]): CredentialView[] {
  const before = all.filter(other => other.replacedBy === id)
  return before.flatMap(one => [one, ...replacedBy(one, all)])
}

/** For people. The secret goes to standard output, once; what to do with it is said beside it. */
export function printNewCredential(made: NewCredential): void {
  const { credential, apiKey, url } = made
  printLine(
    facts([
      ['id', credential.id],
      ['name', safe(credential.name)],
      ['instance', credential.instance],
      ['roles', credential.roles.join(' ')],
      ['HOLDFAST_URL', url],
      ['HOLDFAST_API_KEY', apiKey],
    ]),
  )
  note('the key is shown this once; keep it where secrets are kept')
}

export function printCredential(credential: CredentialView, { json = false }: { json?: boolean } = {}): void {
  if (json) return printJson(credential)
  printLine(
    facts([
      ['id', credential.id],
      ['name', safe(credential.name)],
      ['instance', credential.instance],
      ['subject', safe(credential.subject)],
      ['groups', credential.groups.map(safe).join(' ')],
      ['roles', credential.roles.join(' ')],
      ['state', credential.state],
      ['created', `${credential.createdAt} by ${safe(credential.createdBy)}`],
      ['expires', credential.expiresAt],
      ['replaced by', credential.replacedBy],
      ['last used', credential.lastUsedAt ?? 'never, as far as is known'],
    ]),
  )
}

export function printCredentials(credentials: CredentialView[], { json = false }: { json?: boolean } = {}): void {
  if (json) return printJson({ credentials })
  if (credentials.length === 0) return note('there are no credentials; `holdfast credential create` makes one')
  const rows = credentials.map(({ id, name, roles, state, expiresAt, lastUsedAt }) => [
    id,
    safe(name),
    roles.join(' '),
    state,
    expiresAt ?? 'never',
    lastUsedAt ?? 'never',
  ])
  printLine(table(['ID', 'NAME', 'ROLES', 'STATE', 'EXPIRES', 'LAST USED'], rows))
}
