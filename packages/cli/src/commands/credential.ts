/** `holdfast credential …`: keys to an instance. */
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import {
  allCredentials,
  type CredentialView,
  findCredential,
  type NewCredential,
  printCredential,
  printCredentials,
  withOlder,
} from '../administration/credentials.ts'
import { roleNamed, several } from '../administration/options.ts'
import { showNewCredential } from '../administration/service-keys.ts'
import { wallMs } from '../clock.ts'
import { parseDuration } from '../duration.ts'
import { note } from '../output.ts'
import { restOf } from '../rest.ts'

type Creating = AccessOptions & { role?: string[]; group?: string[]; expires?: number }

export function define(program: Command): void {
  const credential = program
    .command('credential')
    .summary('make, rotate and revoke keys to an instance')
    .description('API keys to an instance. A key is shown once, when it is made; the service keeps only a hash of it.')
    .enablePositionalOptions()
  withAccess(credential.command('create'))
    .description('Make a key, and print it with the address of the service, as a service key is printed.')
    .argument('<name>', 'what it is for')
    .option(
      '--role <role>',
      'what it may do on all locks of the instance; may be said more than once (default: writer)',
      several,
    )
    .option('--group <group>', 'a group that it is of, for policies; may be said more than once', several)
    .option('--expires <duration>', 'when it ends, like 90d (default: when it is revoked)', parseDuration)
    .action(async (name: string, { role = ['writer'], group = [], expires, ...options }: Creating) => {
      const rest = restOf(options)
      const ends = expires === undefined ? {} : { expiresAt: after(expires) }
      const body = { name, roles: role.map(roleNamed), groups: group, ...ends }
      await showNewCredential(rest, await rest.call<NewCredential>('POST', '/v2/credentials', { body }), options)
    })
  withAccess(credential.command('list'))
    .description('List the keys of the instance, without their secrets.')
    .action(async (options: AccessOptions) => printCredentials(await allCredentials(restOf(options)), options))
  withAccess(credential.command('show'))
    .description('Look at a key, without its secret.')
    .argument('<credential>', 'id or name')
    .action(async (named: string, options: AccessOptions) =>
      printCredential(await findCredential(restOf(options), named), options),
    )
  withAccess(credential.command('rotate'))
    .description('Make a new key with the same rights. The old one goes on for a while, so that nothing stops.')
    .argument('<credential>', 'id or name')
    .option('--overlap <duration>', 'how long the old key goes on', parseDuration, 24 * 60 * 60 * 1000)
    .action(async (named: string, { overlap, ...options }: AccessOptions & { overlap: number }) => {
      const rest = restOf(options)
      const { id } = await findCredential(rest, named)
      const body = { overlapMs: overlap }
      const made = await rest.call<NewCredential>('POST', `/v2/credentials/${id}/rotate`, { body })
      await showNewCredential(rest, made, options)
    })
  withAccess(credential.command('revoke'))
    .description(
      'End a key now: its connections and streams are closed within seconds. By its name, also the older keys that rotations have left.',
    )
    .argument('<credential>', 'id or name')
    .option('--end-sessions', 'release what its sessions hold, too')
    .option('--reason <text>', 'why; it is recorded')
    .action(revoke)
  withAccess(credential.command('delete'))
    .description('Delete a key, and end it if it is active.')
    .argument('<credential>', 'id or name')
    .action(async (named: string, options: AccessOptions) => {
      const rest = restOf(options)
      const { id } = await findCredential(rest, named)
      await rest.call('DELETE', `/v2/credentials/${id}`)
      if (!options.json) note(`deleted ${id}`)
    })
}

async function revoke(
  named: string,
  { endSessions, reason, ...options }: AccessOptions & { endSessions?: boolean; reason?: string },
): Promise<void> {
  const rest = restOf(options)
  const body = { ...(endSessions ? { endSessions } : {}), ...(reason === undefined ? {} : { reason }) }
  const revoked: CredentialView[] = []
  for (const { id } of await withOlder(rest, await findCredential(rest, named), named))
    revoked.push(await rest.call('POST', `/v2/credentials/${id}/revoke`, { body }))
  printCredentials(revoked, options)
}

function after(ms: number): string {
  return new Date(wallMs() + ms).toISOString()
}
