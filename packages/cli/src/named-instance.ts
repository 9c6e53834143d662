/** People know instances by name, the service by id. */
import { HoldfastError, type Rest } from '@holdfast/client'
import type { Command } from 'commander'
import type { AccessOptions } from './access.ts'
import { allInstances, type InstanceView, instanceOf } from './administration/instances.ts'
import { restOf } from './rest.ts'

/** Before a verb that acts within an instance: puts the id in place of the name, where one was given. */
export async function nameInstance(command: Command): Promise<void> {
  if (!command.options.some(({ long }) => long === '--instance')) return
  const { instance, ...options } = command.opts<AccessOptions>()
  const inEnvironment = process.env.HOLDFAST_INSTANCE
  const named = instance ?? inEnvironment
  if (!named || isId(named)) return
  // The list is asked for from where the key belongs.
  delete process.env.HOLDFAST_INSTANCE
  const known = await instancesSeen(restOf(options))
  const id = known.length > 0 ? instanceOf(known, named).id : named
  command.setOptionValue('instance', id)
  // For a command that is run under a lock.
  if (inEnvironment) process.env.HOLDFAST_INSTANCE = instance === undefined ? id : inEnvironment
}

/** None for somebody who may not look at them: such a one says the id, and the service whether there is one. */
async function instancesSeen(rest: Rest): Promise<InstanceView[]> {
  try {
    return await allInstances(rest)
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'forbidden') return []
    throw error
  }
}

/** As the service makes them. */
function isId(text: string): boolean {
  return text === 'default' || /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(text)
}
