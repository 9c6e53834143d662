/** The servers of each system, with what can be done to them. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { debian } from '../harness/debian.ts'
import { startEtcd } from '../harness/etcd.ts'
import { freePort, temporaryFolder } from '../harness/process.ts'
import { startServer } from '../harness/server.ts'
import { ETCD_TTL_SECONDS, type SystemName, TTL_MS } from './takers.ts'

export type Started = {
  url: string
  /** kill -9, and a start on what the disk has. */
  loseServer(): Promise<void>
  stop(): Promise<void>
}

export type System = {
  name: SystemName
  title: string
  isKnownBad: boolean
  ttlMs: number
  /** Text: why it cannot be had here. */
  start(): Promise<Started | string>
}

const etcdTtlMs = ETCD_TTL_SECONDS * 1_000

export const systems: readonly System[] = [
  { name: 'etcd3', title: 'npm etcd3, Lock, one etcd', isKnownBad: true, ttlMs: etcdTtlMs, start: startedEtcd },
  { name: 'v3lock', title: 'etcd’s lock RPC, one etcd', isKnownBad: true, ttlMs: etcdTtlMs, start: startedEtcd },
  { name: 'redlock', title: 'Redlock (npm), one Redis', isKnownBad: true, ttlMs: TTL_MS, start: startedRedis },
  { name: 'set-nx-px', title: 'SET NX PX, one Redis', isKnownBad: true, ttlMs: TTL_MS, start: startedRedis },
  { name: 'holdfast', title: 'Holdfast, embedded', isKnownBad: false, ttlMs: TTL_MS, start: startedHoldfast },
]

async function startedEtcd(): Promise<Started | string> {
  const cluster = await startEtcd().catch((error: unknown) => String(error))
  if (typeof cluster === 'string') return cluster
  const [member] = cluster.members
  return {
    url: cluster.url,
    async loseServer() {
      await member!.kill()
      cluster.start(member!)
      await cluster.allReady()
    },
    stop: () => cluster.stop(),
  }
}

/** As it comes: without an append-only file, and so without what it knew when it was killed. */
async function startedRedis(): Promise<Started | string> {
  const installed = debian('redis')
  if (typeof installed === 'string') return installed
  const port = await freePort()
  const folder = temporaryFolder('redis')
  const run = () =>
    spawn(installed.bin('redis-server'), ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder.path], {
      stdio: 'ignore',
      env: installed.env,
    })
  let child = run()
  const kill = async () => {
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
  // A moment to begin to listen; clients try again by themselves.
  await sleep(STARTED_MS)
  return {
    url: `redis://127.0.0.1:${port}`,
    async loseServer() {
      await kill()
      child = run()
      await sleep(STARTED_MS)
    },
    async stop() {
      await kill()
      folder.remove()
    },
  }
}
const STARTED_MS = 300

async function startedHoldfast(): Promise<Started> {
  const folder = temporaryFolder('known-bad')
  let server = await startServer({ data: folder.path })
  return {
    url: server.url,
    async loseServer() {
      await server.kill()
      server = await startServer({ data: folder.path, port: server.port })
    },
    async stop() {
      await server.kill()
      folder.remove()
    },
  }
}
