/**
 * `holdfast resource …`: the verbs of `ibmcloud resource` for instances and keys, so that what people know by heart and have in scripts goes on
 * working with another first word (ECOSYSTEM 1.10). They do what `instance` and `credential` do.
 */
import type { Command } from 'commander'
import { defineInstances } from '../ibmcloud/instances.ts'
import { defineKeys } from '../ibmcloud/keys.ts'

export function define(program: Command): void {
  const resource = program
    .command('resource')
    .summary('the verbs of `ibmcloud resource`, for instances and keys')
    .description(
      'The verbs of `ibmcloud resource`, for those who know them by heart. `holdfast instance` and `holdfast credential` do the same.',
    )
    .enablePositionalOptions()
  defineInstances(resource)
  defineKeys(resource)
}
