/** What every door is given: it decides nothing and knows nobody else. */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Administration } from '../administration/administration.ts'
import type { Audit } from '../audit/audit.ts'
import type { TokenExchange } from '../auth/authenticator.ts'
import type { Authenticate } from '../auth/identity.ts'
import type { SessionSecrets } from '../auth/secrets.ts'
import type { Clock } from '../clock.ts'
import type { UsageOf } from '../instances/usage.ts'
import type { Block } from '../policies/addresses.ts'
import type { DecisionPoint } from '../policies/port.ts'
import type { Random } from '../random.ts'
import type { Registry } from '../registry/port.ts'
import type { Shards } from '../shards/port.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { Exhausted } from './exhausted.ts'
import type { Intake } from './intake.ts'
import type { Origins } from './origins.ts'
import type { Standing } from './standing.ts'
import type { WatchCount } from './watch-count.ts'

/** The other servers of the cluster come in here; they prove themselves. */
export type PeerDoor = { path: string; accept(request: IncomingMessage, socket: Duplex, head: Buffer): void }

export type Doors = {
  shards: Shards
  authenticate: Authenticate
  /** Our own token endpoint. */
  ownTokens: TokenExchange
  /** Who may do what. */
  permissions: DecisionPoint
  registry: Registry
  /** Instances, credentials, roles and policies: how they are changed. */
  administration: Administration
  /** Ends what is no longer permitted. */
  standing: Standing
  /** Whose `X-Forwarded-For`, `-Proto` and `-Host` are believed. */
  trustedProxies: readonly Block[]
  secrets: SessionSecrets
  clock: Clock
  random: Random
  telemetry: Telemetry
  watches: WatchCount
  /** Whether `/metrics` answers other machines without a credential. */
  metricsAreOpen: boolean
  usage: UsageOf
  /** What clients send comes through it, so that nobody keeps this server from anything else. */
  intake: Intake
  exhausted: Exhausted
  audit: Audit
  /** Which web pages may use this service. */
  origins: Origins
  /** Version of the software. */
  release: string
  /** null: this server is alone. */
  peers: PeerDoor | null
  /** This start of this server. */
  serverId: string
  /** Set once each: when the server begins to say that it will stop, and when it begins to. */
  draining: { isAnnounced: boolean; isDraining: boolean }
}
