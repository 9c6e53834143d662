/** `holdfast policy …`: who may do what, to which locks, when. */
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { roleNamed, several, subjectOf } from '../administration/options.ts'
import { allOf } from '../administration/pages.ts'
import { conditionsText, type PolicyView, printPolicy } from '../administration/policies.ts'
import { parseDuration, parsePriority } from '../duration.ts'
import { CommandFailure, exitCodes } from '../exit.ts'
import { note, paint, printJson, printLine, safe, table } from '../output.ts'
import { restOf } from '../rest.ts'

type Decision = { permitted: boolean; why: string; lookedAt: { policy: string; matches: boolean; why: string }[] }
type Creating = AccessOptions & {
  id?: string
  subject?: string[]
  role?: string[]
  lock?: string[]
  description?: string
  maxTtl?: number
  maxPriority?: number
  preempt?: string
  hours?: string
  source?: string[]
  file?: string
}
type Testing = AccessOptions & { group?: string[]; address?: string; at?: string; ttl?: number; priority?: number }

export function define(program: Command): void {
  const policy = program
    .command('policy')
    .summary('who may do what, to which locks, when')
    .description(
      'Policies grant roles to subjects and groups on the locks that patterns name. What no policy grants is denied.',
    )
    .enablePositionalOptions()
  defineCreate(policy)
  withAccess(policy.command('list'))
    .description('List the policies of the instance.')
    .action(async (options: AccessOptions) => {
      const policies = await allOf<PolicyView>(restOf(options), '/v2/policies', 'policies')
      if (options.json) return printJson({ policies })
      if (policies.length === 0)
        return note('there are no policies; credentials have the roles that they were made with')
      const rows = policies.map(row => [
        row.id,
        row.subjects.map(safe).join(' '),
        row.roles.join(' '),
        row.locks.map(safe).join(' '),
        conditionsText(row.conditions),
      ])
      printLine(table(['ID', 'WHO', 'ROLES', 'LOCKS', 'CONDITIONS'], rows))
    })
  withAccess(policy.command('show'))
    .description('Look at a policy.')
    .argument('<policy>', 'its id')
    .action(async (id: string, options: AccessOptions) =>
      printPolicy(await restOf(options).call<PolicyView>('GET', `/v2/policies/${encodeURIComponent(id)}`), options),
    )
  withAccess(policy.command('delete'))
    .description('Delete a policy. In force within seconds, on open connections too.')
    .argument('<policy>', 'its id')
    .action(async (id: string, options: AccessOptions) => {
      await restOf(options).call('DELETE', `/v2/policies/${encodeURIComponent(id)}`)
      if (!options.json) note(`deleted ${safe(id)}`)
    })
  defineTest(policy)
}

function defineCreate(policy: Command): void {
  withAccess(policy.command('create'))
    .description(
      'Grant roles to subjects or groups. With --file the whole policy is read from JSON, as `policy show --json` prints it.',
    )
    .option('--id <id>', 'an id to replace it by later (default: a new one)')
    .option('--subject <subject>', 'key:…, iam:…, oidc:…, cert:…, group:… or *; may be said more than once', several)
    .option('--role <role>', 'what they may do; may be said more than once', several)
    .option('--lock <pattern>', 'on which locks, like payments/*; may be said more than once (default: all)', several)
    .option('--description <text>', 'why')
    .option('--max-ttl <duration>', 'only with a TTL of at most this', parseDuration)
    .option('--max-priority <n>', 'only with a priority of at most this', parsePriority)
    .option('--preempt <how>', 'the most that may be asked for: never, graceful or immediate')
    .option('--hours <from-to>', 'only at these hours (UTC), like 08:00-18:00')
    .option('--source <cidr>', 'only from there; may be said more than once', several)
    .option('--file <file>', 'the whole policy as JSON')
    .action(async (options: Creating) => {
      const body = options.file === undefined ? bodyOf(options) : fromFile(options.file)
      const rest = restOf(options)
      const made =
        options.id === undefined
          ? await rest.call<PolicyView>('POST', '/v2/policies', { body })
          : await rest.call<PolicyView>('PUT', `/v2/policies/${encodeURIComponent(options.id)}`, { body })
      printPolicy(made, options)
    })
}

function defineTest(policy: Command): void {
  withAccess(policy.command('test'))
    .description('Whether somebody may do something, and why. Exit code 0 if so, 1 if not.')
    .argument('<subject>', 'who, like key:k-1')
    .argument('<action>', 'what, like lock.acquire')
    .argument('[lock]', 'to which lock')
    .option('--group <group>', 'a group that they are of; may be said more than once', several)
    .option('--address <address>', 'where the request comes from')
    .option('--at <time>', 'when (default: now)')
    .option('--ttl <duration>', 'with which TTL', parseDuration)
    .option('--priority <n>', 'with which priority', parsePriority)
    .action(async (subject: string, action: string, lock: string | undefined, options: Testing) => {
      const { group, address, at, ttl, priority } = options
      const body = defined({
        subject: subjectOf(subject),
        action,
        lock,
        groups: group,
        address,
        at,
        ttlMs: ttl,
        priority,
      })
      const decision = await restOf(options).call<Decision>('POST', '/v2/policies/test', { body })
      process.exitCode = decision.permitted ? 0 : 1
      if (options.json) return printJson(decision)
      printLine(`${decision.permitted ? paint('green', 'permitted') : paint('red', 'denied')}: ${decision.why}`)
      for (const { policy: id, matches, why } of decision.lookedAt) printLine(`  ${matches ? '✔' : '·'} ${id}: ${why}`)
    })
}

function bodyOf(options: Creating): object {
  const { subject, role, lock, description, maxTtl, maxPriority, preempt, hours, source } = options
  if (!subject || !role)
    throw new CommandFailure(
      exitCodes.usage,
      'Say whom with --subject and what with --role, or give the whole policy with --file.',
    )
  const [from, to] = hours?.split('-') ?? []
  const conditions = defined({
    maxTtlMs: maxTtl,
    maxPriority,
    preempt,
    hours: hours === undefined ? undefined : { from, to },
    sources: source,
  })
  return defined({ subjects: subject.map(subjectOf), roles: role.map(roleNamed), locks: lock, description, conditions })
}

function fromFile(file: string): object {
  try {
    const { id: _id, instance: _instance, ...body } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
    return body
  } catch (error) {
    throw new CommandFailure(
      exitCodes.usage,
      `The policy cannot be read: ${error instanceof Error ? error.message : String(error)}.`,
    )
  }
}

function defined(fields: Record<string, unknown>): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}
