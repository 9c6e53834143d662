/** `holdfast cluster …`: etcd, run and looked after, so that nobody else has to. */
import type { Command } from 'commander'
import { defineBackups } from '../cluster-backups.ts'
import { defineCertificates } from '../cluster-certificates.ts'
import { defineMembers } from '../cluster-members.ts'
import { defineRunning } from '../cluster-running.ts'
import { defineSpace } from '../cluster-space.ts'
import { defineStatus } from '../cluster-status.ts'

export function define(program: Command): void {
  const cluster = program
    .command('cluster')
    .summary('run etcd for many servers, and look after it')
    .description(
      'Run the etcd members that many Holdfast servers share, and look after them. `up` runs three on this machine, for trial; `init`, `invite` and `join` set them up on machines of their own.',
    )
    .addHelpText(
      'after',
      '\nAll commands take --data DIRECTORY (default: ./cluster). They end with 0 when it is done, 1 when it is not (the reason is said, and the\ncluster is as it was), 130 when they were stopped. `status` and `restore` of\nencrypted records need $HOLDFAST_ENCRYPTION_KEY_FILE (or …_KEY_COMMAND, …_KMS_COMMAND), as the servers have it.',
    )
    .enablePositionalOptions()
  defineRunning(cluster)
  defineStatus(cluster)
  defineMembers(cluster)
  defineSpace(cluster)
  defineBackups(cluster)
  defineCertificates(cluster)
}
