/** The page of who may do what: operations and messages × built-in roles. */
import type { OperationFields } from '@holdfast/protocol/operation'
import { v1 } from '@holdfast/protocol/v1'
import { v2 } from '@holdfast/protocol/v2'
import { actionOf } from '../packages/server/src/http/connect/commands.ts'
import { type BuiltInRole, builtInRoles } from '../packages/server/src/policies/roles.ts'

const roles: [string, BuiltInRole][] = Object.entries(builtInRoles)
const scopes = { own: '', named_instance: ' on it, or in `default`', service: ' in `default`' }

export function permissionsPage(): string {
  return `# Permissions

Generated from the operations, the messages and the built-in roles; do not edit. A test walks all of it (\`packages/server/src/http/permissions.test.ts\`).

A role is granted on the whole instance by a credential, or on the names that the patterns of a policy match ([policies](policies.md)). The root key may do
everything everywhere. Who may not do what would show a lock gets the answer that there is none; all else that is not permitted is \`forbidden\` (403).

Where an action is permitted "on it, or in \`default\`", whoever has it in \`default\` runs the service. Two things are theirs alone, whatever the role on the instance: to give it limits of its own
(\`overrides\`), and to enable, restore or reclaim what they have disabled or deleted (\`closed_by: service\`). Of an instance that its own people have deleted, its Editors and Administrators go on to be able to restore it for the week, or
to let it go; nothing else can be done in it.

## Operations

| operation | | action | ${header()} |
|---|---|---|${line()}|
${[...Object.values(v1), ...Object.values(v2)].map(operationRow).join('\n')}

## Messages of the WebSocket

To set \`preempt\` in a request is \`lock.preempt\` besides, here and in the operations above.

| message | action | ${header()} |
|---|---|${line()}|
${[['hello', 'session.open'], ...Object.entries(actionOf)].map(messageRow).join('\n')}
`
}

const header = () => roles.map(([, { title }]) => title).join(' | ')
const line = () => roles.map(() => ':-:').join('|')
const marks = (action: string | null) =>
  roles.map(([, { actions }]) => (action === null || (actions as readonly string[]).includes(action) ? 'yes' : '·'))

function operationRow({ version, id, method, path, action, scope }: OperationFields): string {
  const needed = action === null ? 'to be known' : `\`${action}\`${scopes[scope ?? 'own']}`
  return `| ${[`${version} \`${id}\``, `\`${method} ${path}\``, needed, ...marks(action)].join(' | ')} |`
}

function messageRow([type = '', action = '']: string[]): string {
  return `| ${[`\`${type}\``, `\`${action}\``, ...marks(action)].join(' | ')} |`
}
