/** `holdfast role …`: sets of actions under a name. */
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { roleNamed } from '../administration/options.ts'
import { allOf } from '../administration/pages.ts'
import { note, printJson, printLine, safe, table } from '../output.ts'
import { restOf } from '../rest.ts'

type RoleView = { id: string; title: string; actions: string[]; isBuiltIn: boolean }

export function define(program: Command): void {
  const role = program
    .command('role')
    .summary('sets of actions that policies grant')
    .description(
      'Roles are sets of actions. Those that are built in are the same everywhere; an instance may have its own beside them.',
    )
    .enablePositionalOptions()
  withAccess(role.command('list'))
    .description('List the roles, built in and own, with what they permit.')
    .action(async (options: AccessOptions) => {
      const roles = await allOf<RoleView>(restOf(options), '/v2/roles', 'roles')
      if (options.json) return printJson({ roles })
      printLine(
        table(
          ['ROLE', 'KIND', 'ACTIONS'],
          roles.map(({ id, isBuiltIn, actions }) => [id, isBuiltIn ? 'built in' : 'own', actions.join(' ')]),
        ),
      )
    })
  withAccess(role.command('put'))
    .description('Make a role, or say anew what it permits.')
    .argument('<role>', 'its id: lower-case letters, digits and dashes')
    .argument('<actions...>', 'what it permits, like lock.read lock.acquire')
    .option('--title <text>', 'what people call it')
    .action(async (id: string, actions: string[], { title, ...options }: AccessOptions & { title?: string }) => {
      const body = { actions, ...(title === undefined ? {} : { title }) }
      const put = await restOf(options).call<RoleView>('PUT', `/v2/roles/${encodeURIComponent(roleNamed(id))}`, {
        body,
      })
      if (options.json) printJson(put)
      else note(`${put.id} permits ${put.actions.join(' ')}`)
    })
  withAccess(role.command('delete'))
    .description('Delete a role. Policies that name it grant nothing by it any more.')
    .argument('<role>', 'its id')
    .action(async (id: string, options: AccessOptions) => {
      await restOf(options).call('DELETE', `/v2/roles/${encodeURIComponent(roleNamed(id))}`)
      if (!options.json) note(`deleted ${safe(id)}`)
    })
}
