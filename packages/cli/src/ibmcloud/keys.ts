/** `ibmcloud resource service-key…`. Without an instance they look in all that may be seen, as `ibmcloud` looks in the whole account. */
import { HoldfastError } from '@holdfast/client'
import type { Command } from 'commander'
import { urlOf } from '../access.ts'
import {
  allCredentials,
  type CredentialView,
  credentialOf,
  type NewCredential,
  printCredential,
  printCredentials,
} from '../administration/credentials.ts'
import { allInstances, findInstance, type InstanceView } from '../administration/instances.ts'
import { roleNamed } from '../administration/options.ts'
import { authoritiesOf, instanceSeen, serviceKeyView, showNewCredential } from '../administration/service-keys.ts'
import { confirm } from '../confirm.ts'
import { note, printJson, safe } from '../output.ts'
import { restOf } from '../rest.ts'
import { type Ibm, parametersOf, restOfNamed, withIbm, withIdle } from './options.ts'

export function defineKeys(resource: Command): void {
  withIdle(withInstance(resource.command('service-key-create')), ['serviceId'])
    .description('Make a key to an instance.')
    .argument('<name>', 'what it is for')
    .argument('[role]', 'Reader, Writer, Manager …', 'Writer')
    .option('-p, --parameters <json>', 'JSON, or @FILE: {"expires_at": "…"}')
    .option('-f, --force', 'nothing is asked anyway')
    .action(async (name: string, role: string, options: Ibm) => {
      const rest = await restOfNamed(options)
      const body = { ...parametersOf(options), name, roles: [roleNamed(role)] }
      await showNewCredential(rest, await rest.call<NewCredential>('POST', '/v2/credentials', { body }), options)
    })
  withInstance(resource.command('service-keys'))
    .description('List the keys to an instance, or to all that you may see.')
    .action(async (options: Ibm) => {
      const keys = await keysIn(options)
      if (!options.json) return printCredentials(keys.map(({ credential }) => credential))
      printJson({ credentials: keys.map(key => viewOf(key, options)) })
    })
  withInstance(resource.command('service-key').alias('service-credential-get'))
    .description('Look at a key, without its secret: that was shown once, when it was made.')
    .argument('<name>', 'id or name')
    .action(async (named: string, options: Ibm) => {
      const key = await keyNamed(options, named)
      if (options.json) printJson(viewOf(key, options))
      else printCredential(key.credential)
    })
  withInstance(resource.command('service-key-delete'))
    .description('Delete a key, and end it if it is active.')
    .argument('<name>', 'id or name')
    .option('-f, --force', 'without a question')
    .action(async (named: string, options: Ibm) => {
      const { id, name, instance } = (await keyNamed(options, named)).credential
      if (!options.force) await confirm(`Delete the key ${safe(name)} (${id}), and end what goes on with it?`)
      await restOf({ ...options, instance }).call('DELETE', `/v2/credentials/${id}`)
      if (!options.json) note(`deleted ${id}`)
    })
}

function withInstance(command: Command): Command {
  return withIbm(command)
    .option('--instance-name <name>', 'of which instance')
    .option('--instance-id <id>', 'of which instance')
}

type Found = { credential: CredentialView; instance: InstanceView | null }

const viewOf = (found: Found, options: Ibm) =>
  serviceKeyView({ ...found, url: urlOf(options), authorities: authoritiesOf(options) })

async function keyNamed(options: Ibm, named: string): Promise<Found> {
  const keys = await keysIn(options)
  const credential = credentialOf(
    keys.map(key => key.credential),
    named,
  )
  const instance = keys.find(key => key.credential === credential)?.instance ?? null
  return { credential, instance }
}

/** Of the instance that is named; else of all that may be looked at. */
async function keysIn(options: Ibm): Promise<Found[]> {
  const found: Found[] = []
  for (const instance of await instancesMeant(options)) {
    const rest = instance === null ? restOf(options) : restOf({ ...options, instance: instance.id })
    for (const credential of await credentialsSeen(rest, { isAlone: instance === null }))
      found.push({ credential, instance: instance ?? (await instanceSeen(rest, credential.instance)) })
  }
  return found
}

/** null: where the key that asks belongs. */
async function instancesMeant(options: Ibm): Promise<(InstanceView | null)[]> {
  const named = options.instanceId ?? options.instanceName
  if (named !== undefined) return [await findInstance(restOf(options), named)]
  if (options.instance ?? process.env.HOLDFAST_INSTANCE) return [null]
  const all = await allInstances(restOf(options)).catch((error: unknown) => {
    if (error instanceof HoldfastError && error.code === 'forbidden') return []
    throw error
  })
  const active = all.filter(({ state }) => state === 'active')
  return active.length > 0 ? active : [null]
}

async function credentialsSeen(rest: ReturnType<typeof restOf>, { isAlone }: { isAlone: boolean }) {
  try {
    return await allCredentials(rest)
  } catch (error) {
    // Who looks in all instances need not be somebody who may look at the keys of each.
    const isHidden = error instanceof HoldfastError && ['forbidden', 'not_found'].includes(error.code)
    if (isHidden && !isAlone) return []
    throw error
  }
}
