/** All that are compared, by the names that figures are kept under, and one way to open and close as many of them as are wanted. */
import { type EtcdCluster, startEtcd } from '../../harness/etcd.ts'
import { progress } from '../progress.ts'
import { etcdLockOn } from './etcd.ts'
import { etcdDirect } from './etcd-direct.ts'
import { etcdLockRpc } from './etcd-lock.ts'
import { holdfastEmbedded, holdfastOnEtcd } from './holdfast.ts'
import type { Peer } from './peer.ts'
import { postgresLock } from './postgres.ts'
import { redlock } from './redis.ts'
import { zookeeperLock } from './zookeeper.ts'

/** Three members that sync, beside those of Holdfast, so that what one leaves behind is not the other's memory. */
export class Members {
  #cluster: Promise<EtcdCluster> | null = null

  get(): Promise<EtcdCluster> {
    this.#cluster ??= startEtcd({ members: 3, isSynced: true })
    return this.#cluster
  }

  async stop(): Promise<void> {
    await (await this.#cluster?.catch(() => null))?.stop()
  }
}

type Opener = (members: Members) => Promise<Peer | string>

/** `label` is what a plot has room for. */
export const contenders = {
  'holdfast-embedded': { label: 'Holdfast, embedded', open: () => holdfastEmbedded() },
  'holdfast-etcd': { label: 'Holdfast, 3 etcd', open: () => holdfastOnEtcd() },
  'redlock-one': { label: 'Redlock, 1 Redis', open: () => redlock(1) },
  'redlock-three': { label: 'Redlock, 3 Redis', open: () => redlock(3) },
  'etcd-txn': { label: 'etcd Txn by hand, 3', open: async members => etcdDirect(await members.get()) },
  'etcd-rpc': { label: 'etcd lock RPC, 3', open: async members => etcdLockRpc(await members.get()) },
  'etcd3-npm': {
    label: 'npm etcd3, 3 etcd',
    open: async members => etcdLockOn(await members.get(), 'three etcd members'),
  },
  zookeeper: { label: 'ZooKeeper, 1', open: () => zookeeperLock() },
  postgres: { label: 'PostgreSQL, 1', open: () => postgresLock() },
} as const satisfies Record<string, { label: string; open: Opener }>

export type ContenderId = keyof typeof contenders

export type Opened = {
  running: Map<ContenderId, Peer>
  notRun: { id: ContenderId; why: string }[]
  close(): Promise<void>
}

/** One that cannot be had, or does not start, is not run, and it is said why. */
export async function openContenders(ids: readonly ContenderId[]): Promise<Opened> {
  const members = new Members()
  const running: Opened['running'] = new Map()
  const notRun: Opened['notRun'] = []
  for (const id of ids) {
    progress(`starting ${contenders[id].label}`)
    const opened = await contenders[id].open(members).catch((error: unknown) => `did not start: ${String(error)}`)
    if (typeof opened === 'string') notRun.push({ id, why: opened })
    else running.set(id, opened)
  }
  return {
    running,
    notRun,
    close: async () => {
      await Promise.all([...running.values()].map(peer => peer.close()))
      await members.stop()
    },
  }
}
