/** Who is let in by this server, and what they may do here: the rooms behind the doors, introduced to each other. */
import type { Administration } from '../administration/administration.ts'
import { forgetInstance } from '../administration/forgetting.ts'
import { Reclaimer } from '../administration/reclaiming.ts'
import { type Authenticator, createAuthenticator } from '../auth/authenticator.ts'
import type { Calendar, Clock } from '../clock.ts'
import type { Config } from '../config/config.ts'
import type { Doors } from '../http/doors.ts'
import { Evictions } from '../http/evictions.ts'
import { Standing } from '../http/standing.ts'
import { type Block, parseBlock } from '../policies/addresses.ts'
import { ownToken } from '../policies/authz.ts'
import { LocalDecisions } from '../policies/decisions.ts'
import { explain } from '../policies/explain.ts'
import type { DecisionPoint } from '../policies/port.ts'
import { RemoteDecisions } from '../policies/remote.ts'
import { RoutedDecisions } from '../policies/routed.ts'
import type { Random } from '../random.ts'
import type { OpenedRegistry } from '../registry/registry.ts'
import type { Shards } from '../shards/port.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'

type Options = {
  registry: OpenedRegistry
  shards: Pick<Shards, 'submit'>
  clock: Clock
  calendar: Calendar
  random: Random
  config: Pick<
    Config,
    | 'decisionPoint'
    | 'issuers'
    | 'acceptsRawKeys'
    | 'clientAuthoritiesFile'
    | 'trustedProxies'
    | 'serviceName'
    | 'location'
  >
  telemetry: Telemetry
  rootKey: string
}

export class Admission {
  readonly #authenticator: Authenticator
  readonly #decisions: LocalDecisions
  readonly #permissions: DecisionPoint
  readonly #standing: Standing
  readonly #evictions: Evictions
  readonly #registry: OpenedRegistry
  readonly #trustedProxies: readonly Block[]
  readonly #administration: Administration
  readonly #reclaimer: Reclaimer

  constructor({ registry, shards, clock, calendar, random, config, telemetry, rootKey }: Options) {
    const { issuers, acceptsRawKeys, clientAuthoritiesFile, trustedProxies } = config
    this.#registry = registry
    this.#authenticator = createAuthenticator({
      registry,
      rootKey,
      config: { issuers, acceptsRawKeys, acceptsCertificates: clientAuthoritiesFile !== null },
      clock,
      random,
      storeLastUses: uses => registry.recordUses(new Map(uses.map(({ credential, atMs }) => [credential, atMs]))),
      warn: (message, fields) => telemetry.warned(message, fields),
    })
    this.#decisions = new LocalDecisions(registry)
    this.#permissions = decidedBy(this.#decisions, { config, registry, clock, random, telemetry })
    this.#standing = new Standing({ registry, clock })
    this.#evictions = new Evictions({ registry, shards, clock })
    const decisions = this.#decisions
    this.#administration = {
      registry,
      clock,
      random,
      serviceName: config.serviceName,
      region: config.location,
      forget: (instance, by) => forgetInstance(shards, instance, by),
      lastUsedAtMs: credential => registry.lastUsedAtMs(credential),
      explain: question => explain(decisions, question),
    }
    this.#reclaimer = new Reclaimer(this.#administration, { clock, calendar }, error =>
      telemetry.warned('an instance could not be reclaimed; it will be tried again', { err: error }),
    )
    this.#trustedProxies = trustedProxies.map(parseBlock).filter(block => block !== null)
  }

  /** What the doors need of it. */
  get doors(): Pick<
    Doors,
    'administration' | 'authenticate' | 'ownTokens' | 'permissions' | 'registry' | 'standing' | 'trustedProxies'
  > {
    return {
      administration: this.#administration,
      authenticate: this.#authenticator.authenticate,
      ownTokens: this.#authenticator.ownTokens,
      permissions: this.#permissions,
      registry: this.#registry,
      standing: this.#standing,
      trustedProxies: this.#trustedProxies,
    }
  }

  /** Before the registry is closed. */
  async close(): Promise<void> {
    this.#reclaimer.close()
    this.#evictions.close()
    this.#standing.close()
    this.#decisions.close()
    await this.#authenticator.close()
  }
}

/** Our own roles and policies; and for tokens of IBM Cloud IAM its decision point, if there is one. */
function decidedBy(
  local: LocalDecisions,
  { config, registry, clock, random, telemetry }: Omit<Options, 'shards' | 'calendar' | 'rootKey'>,
): DecisionPoint {
  const { decisionPoint, serviceName } = config
  if (!decisionPoint) return local
  const { url, tokenUrl, apiKey } = decisionPoint
  const authz = { url, token: ownToken({ url: tokenUrl, apiKey, clock }) }
  const warn = telemetry.warned
  return new RoutedDecisions({
    local,
    remote: new RemoteDecisions({ authz, serviceName, registry, clock, random, warn }),
  })
}
