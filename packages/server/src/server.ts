/** The one file that knows every room: it introduces them to each other and takes them down in order. */
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer as createNetServer } from 'node:net'
import { join, resolve } from 'node:path'
import type { Server as TlsServer } from 'node:tls'
import { Administered } from './assembly/administered.ts'
import { Admission } from './assembly/admission.ts'
import { Auditing } from './assembly/auditing.ts'
import { followedAuthorities, ListenerCertificate } from './assembly/certificate.ts'
import { watchClockSteps } from './assembly/clock-steps.ts'
import { listening, openingData } from './assembly/refusals-at-start.ts'
import { RememberedStore } from './assembly/remembered-store.ts'
import { openRootKey, settleRootKeyFile } from './assembly/root-key.ts'
import { sealedAsTold, unsealed } from './assembly/sealing.ts'
import { shareStore } from './assembly/sharing.ts'
import { sessionSecrets } from './auth/secrets.ts'
import { type Cancel, type Clock, every, pause } from './clock.ts'
import type { Config } from './config/config.ts'
import type { Engine } from './engine/engine.ts'
import type { EtcdEngine } from './engine/etcd/etcd.ts'
import { openLmdb } from './engine/lmdb/lmdb.ts'
import { openMemory } from './engine/memory/memory.ts'
import { createApp } from './http/app.ts'
import { Connections } from './http/connect/upgrade.ts'
import type { Doors } from './http/doors.ts'
import { Exhausted } from './http/exhausted.ts'
import { Intake } from './http/intake.ts'
import type { App } from './http/listener.ts'
import { Origins } from './http/origins.ts'
import { readinessOf } from './http/service.ts'
import { v1Routes } from './http/v1/index.ts'
import { v2Routes } from './http/v2/index.ts'
import { WatchCount } from './http/watch-count.ts'
import type { Instances } from './instances/instances.ts'
import type { Random } from './random.ts'
import type { Registry } from './registry/port.ts'
import type { OpenedRegistry } from './registry/registry.ts'
import { openClusterShards } from './routing/cluster-shards.ts'
import { PEER_PATH, PeerSockets } from './routing/sockets.ts'
import { type OpenedShards, type OpeningOptions, openShards } from './shards/shards.ts'
import type { ServerHealth } from './telemetry/metrics.ts'
import { createTelemetry, type LogDestination, type Telemetry } from './telemetry/telemetry.ts'

/** A drain takes no longer: whoever has not gone by then is cut off, and loses nothing that its session does not keep. */
const DRAIN_MS_MAX = 10_000
/** A store that does not answer cannot be told that the server leaves; it ends without. Time for an election, and for what the drain leaves over. */
const STOP_MS_MAX = DRAIN_MS_MAX + 5_000
/** While it drains, connections that have got their last answer are closed this often: their clients would keep them for a minute. */
const SWEEP_MS = 20

export type Server = {
  url: string
  /** null when the key was preset. */
  rootKeyPath: string | null
  /** For tests that need no socket. */
  app: App
  telemetry: Telemetry
  /** For tests, and for programs that have a server of their own. */
  registry: Registry
  /**
   * Says in `/readyz` that it stops, for as long as is set; then tells the clients, answers what is in flight, ends what waits, gives the
   * shards up, which takes at most about ten seconds.
   */
  close(): Promise<void>
}

export type Surroundings = {
  clock: Clock
  random: Random
  /** The store can no longer be trusted, or another server has taken over: the process must end. */
  fatal?: (error: unknown) => void
  /** Where the lines of the log go; by default to standard output. */
  log?: LogDestination
}

/** Resolves when the server answers. */
export async function createServer(config: Config, { clock, random, fatal, log }: Surroundings): Promise<Server> {
  const directory = resolve(config.dataDirectory)
  const { peerAuthoritiesFile } = config
  const authorities = peerAuthoritiesFile === null ? () => null : followedAuthorities('peer_ca', peerAuthoritiesFile)
  let shards: OpenedShards | null = null
  const draining = { isAnnounced: false, isDraining: false }
  const telemetry = createTelemetry(config, () => shards && healthOf(shards, draining), log)
  const engine = await sealedAsTold(await openEngine(config, { directory, clock, telemetry }), config, {
    clock,
    random,
    onRotated: () => shards?.sealAnew(),
    onTrouble: ({ what, error }) => telemetry.warned(what, { err: error }),
  })
  const listen = await reserved(config)
  const ending = (error: unknown) => {
    telemetry.fatal('this process must not go on', error)
    fatal?.(error)
  }
  const administered = new Administered({ engine, clock, config, telemetry, fatal: ending })
  const { calendar } = administered
  const auditing = new Auditing({ engine, clock, calendar, config, telemetry: telemetry.audit })
  const intake = new Intake(clock)
  const opening = { clock, random, telemetry, administered, auditing, authorities, intake, fatal: ending }
  const { shards: opened, ...rest } = await openOrClose(engine, { ...config, listen }, opening)
  const { peers, remembered, instances, registry } = rest
  shards = opened
  const keyed = async () => openRootKey(config, { directory, random, clusterKey: opened.meta.clusterKey })
  const root = await openingData(directory, keyed)
  const admission = new Admission({
    registry,
    shards: opened,
    clock,
    calendar,
    random,
    config,
    telemetry,
    rootKey: root.key,
  })
  const doors: Doors = {
    shards: opened,
    ...admission.doors,
    secrets: sessionSecrets(opened.meta.clusterKey),
    clock,
    random,
    telemetry,
    watches: new WatchCount(),
    metricsAreOpen: config.opensMetrics,
    usage: instances.usage,
    intake,
    exhausted: new Exhausted(),
    audit: auditing.open(opened),
    origins: new Origins(config.allowedOrigins),
    release: releaseOf(),
    peers: peers && { path: PEER_PATH, accept: (...upgrade) => peers.accept(...upgrade) },
    serverId: opened.server,
    draining,
  }
  const certificate = certificateOf(config, clock, telemetry)
  const app = createApp(doors, [...v1Routes, ...v2Routes], certificate?.shown ?? null)
  const connections = new Connections(doors)
  connections.attach(app.server)
  await listening(listen, () => app.listen(listen))
  // With a certificate, it is a server of `node:tls`.
  certificate?.follow(app.server as unknown as TlsServer)
  // Listening on a host and port, the address is no text.
  const url = urlOf(config, (app.server.address() as AddressInfo).port)
  telemetry.happened('listening', { url })
  void shareStore(unsealed(engine), telemetry)
  const stopWatchingClock = watchClockSteps(clock, ms => telemetry.clockStepped({ ms }))
  let closing: Promise<void> | null = null
  const stop = () =>
    closeAll({
      app,
      connections,
      shards: opened,
      admission,
      administered,
      auditing,
      engine,
      remembered,
      telemetry,
      draining,
      clock,
      certificate,
      stopWatchingClock,
      drainReadyMs: config.drainReadyMs,
    })
  return { url, rootKeyPath: root.path, app, telemetry, registry, close: () => (closing ??= stop()) }
}

function healthOf(shards: OpenedShards, draining: Doors['draining']): ServerHealth {
  const served = shards.health().shards.filter(({ isServing }) => isServing)
  return { isReady: readinessOf({ shards, draining }).isReady, shardsTotal: shards.meta.shards, served }
}

/** The address to listen on. Other servers must be told the port before there is anything to listen for. */
async function reserved(config: Config): Promise<Config['listen']> {
  const { host, port } = config.listen
  if (config.engine !== 'etcd' || port !== 0) return config.listen
  const probe = createNetServer()
  const probed = () => new Promise<void>((resolve, reject) => probe.once('error', reject).listen(0, host, resolve))
  await listening(config.listen, probed)
  // Listening on a host and port, the address is no text.
  const { port: free } = probe.address() as AddressInfo
  await new Promise(resolve => probe.close(resolve))
  return { host, port: free }
}

async function openEngine(
  config: Config,
  { directory, clock, telemetry }: { directory: string; clock: Clock; telemetry: Telemetry },
): Promise<Engine> {
  if (config.engine === 'memory') return openMemory()
  if (!config.etcd) return openingData(directory, () => openLmdb({ path: join(directory, 'store') }))
  // On demand: it brings gRPC with it, a tenth of a second that an embedded server need not wait for.
  const { openEtcd } = await import('./engine/etcd/etcd.ts')
  return openEtcd({
    ...config.etcd,
    clock,
    follows: true,
    // A server that starts before its store, or while that is away, is of use as soon as it is there.
    openMsMax: Number.POSITIVE_INFINITY,
    onWarning: text => telemetry.warned(text),
    onTrouble: ({ what, error }) => telemetry.warned(what, { err: error }),
  })
}

type Opened = { shards: OpenedShards; peers: PeerSockets | null; remembered: RememberedStore | null }
type Opening = {
  clock: Clock
  random: Random
  telemetry: Telemetry
  administered: Administered
  auditing: Auditing
  /** That other servers' certificates are checked against. */
  authorities: () => string | null
  intake: Intake
  fatal: (error: unknown) => void
}

/** @throws DataDirectoryInUse, and whatever else keeps the store from being opened. */
async function openOrClose(
  engine: Engine,
  config: Config,
  { clock, random, telemetry, administered, auditing, authorities, intake, fatal }: Opening,
): Promise<Opened & { registry: OpenedRegistry; instances: Instances }> {
  const { root, serverName: name, shards, advertise } = config
  const address = advertise ?? urlOf(config, config.listen.port)
  const { termsOf, logged } = administered
  const own = { root, name, address, shards, fatal }
  const audited = { ...(auditing.archive && { archive: auditing.archive }), gate: auditing.gate }
  const inTurn = (act: () => void) => intake.take(act)
  const options = {
    engine,
    clock,
    random,
    telemetry: telemetry.shards,
    termsOf,
    logged,
    inTurn,
    ...audited,
    config: own,
  }
  try {
    const opened =
      config.engine === 'etcd'
        ? await openCluster(options, config, authorities)
        : { shards: await openShards(options), peers: null, remembered: null }
    return { ...opened, ...(await administered.open(opened.shards)) }
  } catch (error) {
    await engine.close()
    throw error
  }
}

/** One of several servers. */
async function openCluster(options: OpeningOptions, config: Config, authorities: () => string | null): Promise<Opened> {
  const { engine, clock, random } = options
  let peers: PeerSockets | null = null
  let remembered: RememberedStore | null = null
  const shards = await openClusterShards({
    ...options,
    peers(here) {
      peers = new PeerSockets({ here, clock, random, authorities })
      return peers
    },
    epochsRaised: () => remembered?.note(),
    async checkStore({ clusterId: cluster, clusterKey, epochs }) {
      // Only this engine is kept by others.
      const store = unsealed(engine) as EtcdEngine
      const id = () => (store.seen.clusterId ?? 0n).toString(16)
      const now = () => ({ cluster, store: id(), revision: store.seen.revision, epochs: epochs() })
      const directory = resolve(config.dataDirectory)
      const path = join(directory, 'store.json')
      const alarm = (what: string, error: unknown) => options.telemetry?.alarm({ what, error })
      remembered = new RememberedStore({ path, clock, now, alarm })
      const settling = { directory, clusterKey, lastUse: remembered.check(), told: (what: string) => alarm(what, null) }
      if (config.rootKey === null) await openingData(directory, async () => settleRootKeyFile(settling))
      await remembered.start()
    },
  })
  return { shards, peers, remembered }
}

function certificateOf(config: Config, clock: Clock, telemetry: Telemetry): ListenerCertificate | null {
  if (!config.tls) return null
  const { clientAuthoritiesFile } = config
  return new ListenerCertificate({
    files: { ...config.tls, clientAuthoritiesFile },
    clock,
    told: ({ isTaken, what, error }) => (isTaken ? telemetry.happened(what) : telemetry.warned(what, { err: error })),
  })
}

function urlOf(config: Config, port: number): string {
  const host = config.listen.host.includes(':') ? `[${config.listen.host}]` : config.listen.host
  return `${config.tls ? 'https' : 'http'}://${host}:${port}`
}

function releaseOf(): string {
  // Our own package's file.
  return (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }).version
}

type Running = {
  app: App
  connections: Connections
  shards: OpenedShards
  admission: Admission
  administered: Administered
  auditing: Auditing
  engine: Engine
  remembered: RememberedStore | null
  telemetry: Telemetry
  draining: Doors['draining']
  drainReadyMs: number
  clock: Clock
  certificate: ListenerCertificate | null
  stopWatchingClock: Cancel
}

async function closeAll({ drainReadyMs, ...running }: Running): Promise<void> {
  const { draining, clock, telemetry } = running
  draining.isAnnounced = true
  telemetry.happened('stopping')
  // Whoever asks meanwhile is served as ever: a refusal would be met before the balancer has looked.
  if (drainReadyMs > 0) await pause(clock, drainReadyMs)
  draining.isDraining = true
  const drained = drain(running)
  let stopTimer: () => void = () => undefined
  const abandoned = new Promise<never>((_, reject) => {
    stopTimer = clock.after(STOP_MS_MAX, () => {
      // As after a kill: nothing that was answered is lost.
      const what = `The store has not answered for ${STOP_MS_MAX / 1_000} s, so nobody was told of the stop: others take over when the member record has lapsed.`
      reject(new Error(what))
    })
  })
  await Promise.race([drained, abandoned]).finally(stopTimer)
}

async function drain({
  app,
  connections,
  shards,
  admission,
  administered,
  auditing,
  engine,
  remembered,
  telemetry,
  clock,
  certificate,
  stopWatchingClock,
}: Omit<Running, 'drainReadyMs'>): Promise<void> {
  connections.goAway()
  // No new sockets from here; those that are open finish what they are at.
  const closed = app.close()
  const stopTimer = clock.after(DRAIN_MS_MAX, () => {
    connections.terminate()
    app.server.closeAllConnections()
  })
  const stopSweeping = sweep(app, clock)
  try {
    // Answers what is in flight, and ends waits and watches.
    await shards.close()
    connections.close()
    await closed
  } finally {
    stopTimer()
    stopSweeping()
    auditing.close()
    await admission.close()
    await administered.close()
    await remembered?.stop()
    certificate?.stop()
    stopWatchingClock()
    await engine.close()
    telemetry.happened('stopped')
    telemetry.close()
  }
}

/** Closes what has become idle, until it is stopped. */
function sweep(app: App, clock: Clock): () => void {
  return every(clock, SWEEP_MS, () => app.server.closeIdleConnections())
}
