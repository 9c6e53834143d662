/** `cluster add`, `remove`, `replace`, `upgrade`: while the cluster is in use. */
import type { Command } from 'commander'
import { clusterOperation, type OperationOptions, parseHost, withOperation } from './cluster-work.ts'
import { parsePort } from './duration.ts'

type NewOptions = OperationOptions & { etcd?: string; port?: number; host?: string }

export function defineMembers(cluster: Command): void {
  withNew(cluster.command('add'))
    .description('Add a member on this machine. It gets its vote when it has caught up.')
    .argument('[name]', 'what it is called (default: the next of m1, m2, …)')
    .action((name: string | undefined, options: NewOptions) =>
      clusterOperation(options, 'add', async tools => {
        const added = await tools.room.addMember(tools, { ...asked(options), ...(name === undefined ? {} : { name }) })
        const text = `Added ${added}. Give servers the new list of members when they start next (holdfast cluster status).`
        return { text, json: { added } }
      }),
    )
  withOperation(cluster.command('remove'))
    .description('Remove a member, wherever it runs; refused when those that are left could not decide.')
    .argument('<name>', 'the member, or its id')
    .action((name: string, options: OperationOptions) =>
      clusterOperation(options, 'remove', async tools => {
        await tools.room.removeMember(tools, name)
        return { text: `Removed ${name}.`, json: { removed: name } }
      }),
    )
  withNew(cluster.command('replace'))
    .description('Put a new member of this machine in the place of one that is ill, or whose disk shall go.')
    .argument('<name>', 'the member that goes')
    .option('--with <name>', 'what the new one is called (default: the next of m1, m2, …)')
    .action((name: string, options: NewOptions & { with?: string }) =>
      clusterOperation(options, 'replace', async tools => {
        const own = options.with === undefined ? {} : { name: options.with }
        const added = await tools.room.replaceMember(tools, name, { ...asked(options), ...own })
        return { text: `Replaced ${name} by ${added}.`, json: { removed: name, added } }
      }),
    )
  withOperation(cluster.command('upgrade'))
    .description('Run the members of this machine with another etcd program, one after another, the leader last.')
    .argument('<etcd>', 'the new program')
    .action((etcd: string, options: OperationOptions) =>
      clusterOperation(options, 'upgrade', async tools => {
        const { from, to } = await tools.room.upgrade(tools, etcd)
        return { text: `All members of this machine run etcd ${to}.`, json: { from, to } }
      }),
    )
}

function withNew(command: Command): Command {
  return withOperation(command)
    .option('--etcd <path>', 'the etcd program (default: that of the others)')
    .option('--host <address>', 'where it listens (default: as the others)', parseHost)
    .option('--port <port>', 'where it listens to clients (default: the first that is free)', parsePort)
}

function asked({ etcd, host, port }: NewOptions) {
  return {
    ...(etcd === undefined ? {} : { etcd }),
    ...(host === undefined ? {} : { host }),
    ...(port === undefined ? {} : { port }),
  }
}
