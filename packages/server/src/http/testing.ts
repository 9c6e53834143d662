/** For the tests of this room: the doors before real shards in memory, with whomever a test lets in. */
import { connect } from 'node:net'
import { text as textOf } from 'node:stream/consumers'
import { StoredAudit } from '../audit/audit.ts'
import type { Identity } from '../auth/identity.ts'
import { sessionSecrets } from '../auth/secrets.ts'
import { type Clock, systemClock } from '../clock.ts'
import type { Engine } from '../engine/engine.ts'
import { openMemory } from '../engine/memory/memory.ts'
import { LocalDecisions } from '../policies/decisions.ts'
import type { DecisionPoint } from '../policies/port.ts'
import { rootIdentity } from '../policies/testing.ts'
import { systemRandom } from '../random.ts'
import type { Put } from '../registry/port.ts'
import { type MemoryRegistry, memoryRegistry } from '../registry/testing.ts'
import { type OpenedShards, openShards } from '../shards/shards.ts'
import { createTelemetry } from '../telemetry/telemetry.ts'
import { type Ask, ask, type Answer as Got } from '../testing.ts'
import { createApp } from './app.ts'
import type { Route } from './call.ts'
import { Connections } from './connect/upgrade.ts'
import type { Doors } from './doors.ts'
import { Evictions } from './evictions.ts'
import { Exhausted } from './exhausted.ts'
import { Intake } from './intake.ts'
import type { App } from './listener.ts'
import { Origins } from './origins.ts'
import { Standing } from './standing.ts'
import { v1Routes } from './v1/index.ts'
import { v2Routes } from './v2/index.ts'
import { WatchCount } from './watch-count.ts'

export type TestDoors = {
  app: App
  doors: Doors
  shards: OpenedShards
  registry: MemoryRegistry
  /** By the key that proves them; `root` is there. */
  people: Map<string, Identity>
  ask(method: string, path: string, options?: Ask): Promise<Got>
  /** On a free port of this machine. */
  listen(): Promise<string>
}

type Options = {
  puts?: readonly Put[]
  people?: Record<string, Identity>
  clock?: Clock
  engine?: Engine
  routes?: readonly Route[]
  permissions?: DecisionPoint
}

const config = { logLevel: 'silent', logsRequests: false, serviceName: 's', location: 'l', serverName: 'n' } as const

/** What the routes under test have no business with. */
export function untouched<Type>(): Type {
  const touched = () => {
    throw new Error('a test of the doors has gone through to another room')
  }
  // Whatever it is said to be: nothing of it is to be had.
  return new Proxy(touched, { get: touched, apply: touched }) as Type
}

/** Exactly these bytes on a socket of their own, and all that comes back until the other end closes it. */
export async function sent(url: string, text: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.write(text)
  return await textOf(socket)
}

export async function withDoors(act: (test: TestDoors) => Promise<void>, options: Options = {}): Promise<void> {
  const { puts = [], clock = systemClock, engine = openMemory(), routes = [...v1Routes, ...v2Routes] } = options
  const registry = memoryRegistry(...puts)
  const people = new Map(Object.entries({ root: rootIdentity, ...options.people }))
  const telemetry = createTelemetry(config, () => null)
  const fatal = (error: unknown) => {
    throw error
  }
  const own = { root: 'test', name: 'n', address: 'http://localhost', shards: 1, fatal }
  const parts = { engine, clock, random: systemRandom, telemetry: telemetry.shards, config: own }
  const shards = await openShards({ ...parts, termsOf: () => null, logged: () => undefined })
  const standing = new Standing({ registry, clock })
  const evictions = new Evictions({ registry, shards, clock })
  const decisions = new LocalDecisions(registry)
  const doors: Doors = {
    shards,
    authenticate: ({ authorization }) => people.get(authorization?.replace('Bearer ', '') ?? '') ?? null,
    ownTokens: untouched(),
    permissions: options.permissions ?? decisions,
    registry,
    standing,
    trustedProxies: [],
    secrets: sessionSecrets(shards.meta.clusterKey),
    clock,
    random: systemRandom,
    telemetry,
    watches: new WatchCount(),
    metricsAreOpen: false,
    usage: untouched(),
    intake: new Intake(clock),
    exhausted: new Exhausted(),
    audit: new StoredAudit({ engine, clock, root: own.root }, { clusterId: shards.meta.clusterId, shards: own.shards }),
    administration: untouched(),
    origins: new Origins([]),
    release: '0',
    peers: null,
    serverId: shards.server,
    draining: { isAnnounced: false, isDraining: false },
  }
  const app = createApp(doors, routes, null)
  const connections = new Connections(doors)
  connections.attach(app.server)
  const asked = (method: string, path: string, asking?: Ask) => ask({ app }, method, path, { key: 'root', ...asking })
  const listen = () => app.listen({ host: '127.0.0.1', port: 0 })
  try {
    await act({ app, doors, shards, registry, people, ask: asked, listen })
  } finally {
    connections.terminate()
    connections.close()
    await shards.close()
    app.server.closeAllConnections()
    await app.close()
    evictions.close()
    standing.close()
    decisions.close()
    await engine.close()
    telemetry.close()
  }
}
