/**
 * ZooKeeper through the recipe of its own pages (https://zookeeper.apache.org/doc/current/recipes.html#sc_recipes_Locks): a sequential ephemeral
 * node, and whoever is not the first watches the one before. Its log is synced before it answers, which is its default.
 */
import { spawnSync } from 'node:child_process'
import { globSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import zookeeper, { type Client } from 'node-zookeeper-client'
import { debian } from '../../harness/debian.ts'
import { type Running, start } from '../../harness/process.ts'
import type { Grant, Peer } from './peer.ts'

const SESSION_MS = 30_000
const JAVA_MIN = 11
const READY_TRIES_MAX = 300
const READY_LOOK_MS = 100
/** More than its log of transactions needs; a heap that grows and shrinks would be noise. */
const HEAP = ['-Xms512m', '-Xmx512m']

export async function zookeeperLock(): Promise<Peer | string> {
  const server = await startZookeeper()
  if (typeof server === 'string') return server
  const client = await connected(server.port)
  const recipe = new Recipe(client)
  return {
    name: 'ZooKeeper (recipe, npm node-zookeeper-client), one server',
    durability: 'synced; the sequence of the node orders holders, which a resource can check',
    waiting: 'in line, told by a watch',
    acquire: name => recipe.acquire(name),
    processes: () => [server.child.pid ?? 0],
    commits: () => transactions(server.port),
    close: async () => {
      client.close()
      await server.stop()
    },
  }
}

/** One server, or why there is none. */
export async function startZookeeper(): Promise<Running | string> {
  const installed = debian('zookeeper')
  if (typeof installed === 'string') return `ZooKeeper: ${installed}`
  const java = javaProgram()
  if ('missing' in java) return `ZooKeeper: ${java.missing}`
  const jars = globSync(
    `${installed.root}/usr/share/java/{zookeeper,zookeeper-jute,slf4j-api,slf4j-nop,commons-cli,metrics-core,snappy-java,netty-*}.jar`,
  )
  const server = await start('zookeeper', ({ port, folder }) => {
    const configuration = join(folder, 'zoo.cfg')
    const settings = `tickTime=2000\ndataDir=${folder}/data\nclientPort=${port}\nclientPortAddress=127.0.0.1\nforceSync=yes\n`
    writeFileSync(configuration, `${settings}admin.enableServer=false\nmaxClientCnxns=0\n4lw.commands.whitelist=srvr\n`)
    const main = 'org.apache.zookeeper.server.quorum.QuorumPeerMain'
    return { file: java.file, args: [...HEAP, '-cp', jars.join(':'), main, configuration], env: java.env }
  })
  // It takes connections before it serves, and forgets those.
  for (let tries = 1; !/^Mode: /m.test(await answerOf(server.port)); tries++) {
    if (tries === READY_TRIES_MAX) {
      await server.stop()
      return 'ZooKeeper: it does not serve'
    }
    await sleep(READY_LOOK_MS)
  }
  return server
}

/** A session of its own. @throws when the server does not make one in time, of which the library says nothing. */
export async function connected(port: number): Promise<Client> {
  const client = zookeeper.createClient(`127.0.0.1:${port}`, { sessionTimeout: SESSION_MS })
  const isConnected = new Promise<boolean>(resolve => client.once('connected', () => resolve(true)))
  client.connect()
  const limit = new AbortController()
  const isLate = sleep(SESSION_MS, false, { signal: limit.signal }).catch(() => false)
  const isInTime = await Promise.race([isConnected, isLate])
  limit.abort()
  if (!isInTime) throw new Error(`ZooKeeper has made no session in ${SESSION_MS} ms`)
  return client
}

class Recipe {
  readonly #client: Client
  /** Parents of nodes, which stay when the nodes go. */
  readonly #made = new Map<string, Promise<void>>()

  constructor(client: Client) {
    this.#client = client
  }

  async acquire(lock: string): Promise<Grant> {
    const parent = `/${lock.replaceAll('/', '-')}`
    await this.#parent(parent)
    const node = await this.#create(`${parent}/lock-`, zookeeper.CreateMode.EPHEMERAL_SEQUENTIAL)
    const own = node.slice(parent.length + 1)
    for (;;) {
      const line = (await this.#children(parent)).sort()
      const place = line.indexOf(own)
      if (place < 0) throw new Error(`${node} is gone: the session has ended`)
      if (place === 0) return { release: () => this.#remove(node) }
      await this.#gone(`${parent}/${line[place - 1]}`)
    }
  }

  #parent(path: string): Promise<void> {
    let made = this.#made.get(path)
    if (!made) {
      made = this.#create(path, zookeeper.CreateMode.PERSISTENT).then(() => undefined)
      this.#made.set(path, made)
    }
    return made
  }

  #create(path: string, mode: number): Promise<string> {
    return new Promise((resolve, reject) =>
      this.#client.create(path, null, mode, (error, made) => (error ? reject(error) : resolve(made))),
    )
  }

  #children(path: string): Promise<string[]> {
    return new Promise((resolve, reject) =>
      this.#client.getChildren(path, (error, names) => (error ? reject(error) : resolve(names))),
    )
  }

  #remove(path: string): Promise<void> {
    return new Promise((resolve, reject) => this.#client.remove(path, error => (error ? reject(error) : resolve())))
  }

  /** Resolves when the node is no more, or has changed, so that the caller looks again. A watch of `exists` would stay behind on a node that is gone. */
  #gone(path: string): Promise<void> {
    return new Promise((resolve, reject) =>
      this.#client.getData(
        path,
        () => resolve(),
        error => {
          if (!error) return
          if (error.getCode() === zookeeper.Exception.NO_NODE) resolve()
          else reject(error)
        },
      ),
    )
  }
}

/** The number of its newest transaction. */
async function transactions(port: number): Promise<number> {
  // The upper half counts elections.
  return Number(BigInt(/Zxid: (0x[0-9a-f]+)/.exec(await answerOf(port))?.[1] ?? '0') & 0xffff_ffffn)
}

/** What it says to the command `srvr`. */
async function answerOf(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.setEncoding('utf8').on('data', data => {
    text += String(data)
  })
  socket.write('srvr')
  await new Promise((resolve, reject) => socket.once('close', resolve).once('error', reject))
  return text
}

function javaProgram(): { file: string; env: NodeJS.ProcessEnv } | { missing: string } {
  const version = /version "(\d+)/.exec(spawnSync('java', ['-version'], { encoding: 'utf8' }).stderr ?? '')?.[1]
  if (Number(version) >= JAVA_MIN) return { file: 'java', env: process.env }
  const installed = debian('java')
  if (typeof installed === 'string')
    return { missing: `no Java ${JAVA_MIN} or newer, and none to be had: ${installed}` }
  const [file] = globSync(`${installed.root}/usr/lib/jvm/java-17-openjdk-*/bin/java`)
  return file ? { file, env: installed.env } : { missing: 'the package of Java has no java' }
}
