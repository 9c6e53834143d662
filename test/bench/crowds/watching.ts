/** Many that watch one lock, each over a connection of its own, and one that changes it. */
import { connect, type Holdfast } from '@holdfast/client'
import { startEtcd } from '../../harness/etcd.ts'
import { temporaryFolder } from '../../harness/process.ts'
import { rootKey, startServer } from '../../harness/server.ts'
import { startServers } from '../../harness/servers.ts'
import { calls, channelTo, WAIT_MS, watchKeys } from '../peers/etcd-members.ts'
import { connected, startZookeeper } from '../peers/zookeeper.ts'

export type Watching = {
  note: string
  /** One more that watches; `told` is called for each change that it hears of. */
  watch(told: () => void): Promise<void>
  /** Makes one change that is told of. */
  change(): Promise<void>
  /** Afterwards: all is ready for the next change. */
  settle(): Promise<void>
  close(): Promise<void>
}

const NAME = 'watched'

export async function holdfastAlone(): Promise<Watching> {
  const folder = temporaryFolder('bench')
  const server = await startServer({ data: folder.path })
  const watching = clients([server.url])
  return {
    ...watching,
    close: async () => {
      await watching.close()
      await server.stop()
      folder.remove()
    },
  }
}

export async function holdfastServers(): Promise<Watching> {
  const servers = await startServers({ etcd: { isSynced: true } })
  const watching = clients(servers.urls)
  return {
    ...watching,
    close: async () => {
      await watching.close()
      await servers.stop()
    },
  }
}

function clients(urls: string[]): Watching {
  const all: Holdfast[] = []
  const opened = () => {
    // A session that is alive for the whole question: renewals are another one.
    const client = connect({ url: urls, apiKey: rootKey, ttlMs: 10 * 60_000 })
    all.push(client)
    return client
  }
  const changer = opened()
  const over = new AbortController()
  let release: () => Promise<unknown> = async () => undefined
  return {
    note: 'in order, none missing, resumed after a loss; a change is an acquire',
    watch: async told => {
      const client = opened()
      await client.sessionId()
      void follow()
      async function follow() {
        for await (const event of client.watch({ name: NAME, signal: over.signal }))
          if (event.type === 'granted') told()
      }
    },
    change: async () => {
      const lock = await changer.acquire(NAME)
      release = () => lock.release()
    },
    settle: async () => {
      await release()
    },
    close: async () => {
      over.abort()
      await Promise.all(all.map(client => client.close()))
    },
  }
}

export async function etcdWatches(): Promise<Watching> {
  const members = await startEtcd({ members: 3, isSynced: true })
  const changer = channelTo(members.url)
  const channels = [changer]
  return {
    note: 'in order, resumed by revision; a change is a put',
    watch: async told => {
      const channel = channelTo(members.urls[channels.length % members.urls.length]!)
      channels.push(channel)
      await watchKeys(channel, { key: Buffer.from(NAME) }, told)
    },
    change: async () => {
      const request = { key: Buffer.from(NAME), value: Buffer.from('x') }
      await changer.unary(calls.put, request, { timeoutMs: WAIT_MS, token: null })
    },
    settle: async () => undefined,
    close: async () => {
      for (const channel of channels) channel.close()
      await members.stop()
    },
  }
}

export async function zookeeperWatches(): Promise<Watching | string> {
  const server = await startZookeeper()
  if (typeof server === 'string') return server
  const changer = await connected(server.port)
  const all = [changer]
  const path = `/${NAME}`
  await new Promise<void>((resolve, reject) =>
    changer.create(path, null, 0, error => (error ? reject(error) : resolve())),
  )
  let arming: Promise<void>[] = []
  return {
    note: 'each is told once and must ask again, so changes in between are missed; a change is a setData',
    watch: async told => {
      const client = await connected(server.port)
      all.push(client)
      const arm = () =>
        new Promise<void>((resolve, reject) =>
          client.getData(
            path,
            () => {
              told()
              arming.push(arm())
            },
            error => (error ? reject(error) : resolve()),
          ),
        )
      await arm()
    },
    change: () =>
      new Promise((resolve, reject) =>
        changer.setData(path, Buffer.from('x'), error => (error ? reject(error) : resolve())),
      ),
    settle: async () => {
      await Promise.all(arming)
      arming = []
    },
    close: async () => {
      for (const client of all) client.close()
      await server.stop()
    },
  }
}
