/** What the verbs of `ibmcloud` are told, in its words. */
import { readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { allInstances, findInstance, type InstanceView } from '../administration/instances.ts'
import { CommandFailure, exitCodes } from '../exit.ts'
import { note, safe } from '../output.ts'
import { restOf } from '../rest.ts'

export type Ibm = AccessOptions & {
  parameters?: string
  location?: string
  name?: string
  servicePlanId?: string
  serviceName?: string
  instanceName?: string
  instanceId?: string
  force?: boolean
}

/** With the way in, and `--output json`, which is how `ibmcloud` says `--json`. */
export function withIbm(command: Command): Command {
  return withAccess(command)
    .option('--output <format>', 'json: as --json', format => {
      if (/^json$/i.test(format)) return format
      throw new InvalidArgumentError('Only json is known.')
    })
    .on('option:output', () => command.setOptionValue('json', true))
}

/** Taken, as scripts have them, and said to do nothing (ECOSYSTEM 1.10): nobody shall think that they did. */
const idle = {
  group: { flags: '-g, --group <group>', why: 'there are no resource groups here' },
  serviceEndpoints: { flags: '--service-endpoints <type>', why: 'where a server listens, its own settings say' },
  allowCleanup: { flags: '--allow-cleanup', why: 'no other service cleans up here' },
  lock: { flags: '--lock', why: 'instances cannot be locked; a deleted one can be restored for a week' },
  serviceId: { flags: '--service-id <id>', why: 'each key is a subject of its own, which policies can name' },
} as const
export type Idle = keyof typeof idle

export function withIdle(command: Command, names: readonly Idle[]): Command {
  for (const name of names) command.option(idle[name].flags, `does nothing here: ${idle[name].why}`)
  return command.hook('preAction', () => {
    const given = command.opts()
    for (const name of names)
      if (given[name] !== undefined) note(`${flagOf(name)} does nothing here: ${idle[name].why}`)
  })
}

const flagOf = (name: Idle) => /--[a-z-]+/.exec(idle[name].flags)?.[0]

/** As the instances' CRNs have it. */
export const serviceOf = ({ crn }: InstanceView): string | undefined => crn.split(':')[4]

/** A name that is not the service's is a mistake, or a script that is meant for another one. */
export async function checkService(options: Ibm, service: string): Promise<void> {
  const known = new Set((await allInstances(restOf(options))).map(serviceOf))
  if (known.size === 0 || known.has(service)) return
  throw new CommandFailure(exitCodes.usage, `There is no service ${safe(service)} here, but ${[...known].join(', ')}.`)
}

/** Within the instance that is named, if one is. */
export async function restOfNamed(options: Ibm): Promise<ReturnType<typeof restOf>> {
  const named = options.instanceId ?? options.instanceName
  if (named === undefined) return restOf(options)
  return restOf({ ...options, instance: (await findInstance(restOf(options), named)).id })
}

export function parametersOf({ parameters }: Ibm): Record<string, unknown> {
  if (parameters === undefined) return {}
  try {
    const text = parameters.startsWith('@') ? readFileSync(parameters.slice(1), 'utf8') : parameters
    const value: unknown = JSON.parse(text)
    // Looked at just before.
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
    throw new Error('it is no object')
  } catch (error) {
    throw new CommandFailure(
      exitCodes.usage,
      `--parameters is not JSON: ${error instanceof Error ? error.message : String(error)}.`,
    )
  }
}
