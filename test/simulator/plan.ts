/** What goes wrong in a run, and when: drawn from the seed, as a list from which the shrinker can take things away. */
import { type Chance, chanceOf } from './chance.ts'
import { configuredLock } from './claims.ts'
import type { Tear } from './network.ts'
import type { StoreRates } from './store-way.ts'

export type Fault = { atMs: number; lastsMs: number } & (
  | { kind: 'kill_server' | 'leave_server' | 'stop_server' | 'suspend_server'; server: number }
  /** `ways`: to the store, from it, or both. */
  | { kind: 'cut_from_store'; server: number; ways: 'both' | 'out' | 'in' }
  | { kind: 'cut_from_clients'; server: number; ways: 'both' | 'out' | 'in' }
  | { kind: 'cut_from_servers'; server: number; ways: 'both' | 'out' | 'in' }
  /** What it says to other servers, and they to it, lies on the way; then the connections are given up, and it comes late. */
  | ({ kind: 'tear_links'; server: number } & Tear)
  /** Reaches the store and nobody else. */
  | { kind: 'apart'; server: number }
  /** There is little room left in the store, and after so long none; at the end there is enough. */
  | { kind: 'fill_store'; littleMs: number }
  /** The store loses, delays and repeats much more. */
  | { kind: 'storm'; rates: StoreRates }
  | { kind: 'kill_client' | 'stop_client' | 'suspend_client'; client: number }
  /** The hypervisor freezes the machine. `isWallSet`: afterwards it is told the time. */
  | { kind: 'freeze_server'; server: number; isWallSet: boolean }
  | { kind: 'freeze_client'; client: number; isWallSet: boolean }
  | { kind: 'freeze_caller'; caller: number; isWallSet: boolean }
  | { kind: 'cut_client'; client: number; ways: 'both' | 'out' | 'in' }
  | { kind: 'step_wall'; machine: number; ms: number }
  | { kind: 'force' | 'preempt'; lock: string; instance: number }
  | { kind: 'freeze'; prefix: string; instance: number }
  /** Of a semaphore whose users name none. */
  | { kind: 'limit'; lock: string; limit: number; instance: number }
)

export type Plan = {
  seed: number
  operations: number
  servers: number
  clients: number
  /** Those who ask over REST, one request after another. */
  callers: number
  /** Clients enter what they hold once more, and take permits of a lock whose limit operators change. */
  isWide: boolean
  /** Lines of work of one client. */
  workers: number
  shards: number
  instances: number
  /** A shard cleans its log when so much has been appended: little makes the cleaner work all the time. */
  logBytesMin: number
  ttlsMs: number[]
  serverRates: number[]
  clientRates: number[]
  /** Always. */
  storeRates: StoreRates
  network: { delayMsMax: number; slow: number; slowMsMax: number; repeated: number }
  faults: Fault[]
}

/** Faults are drawn for this long; a run that takes longer goes on without. */
const HORIZON_MS = 60_000

export function planOf(seed: number, operations: number): Plan {
  const chance = chanceOf(seed, 'plan')
  const servers = chance.pick([2, 3, 3])
  const clients = 3 + chance.below(5)
  const instances = chance.pick([1, 1, 2])
  const rate = () => chance.pick([1, 1, 0.9, 1.1, chance.between(0.9, 1.1)])
  // Drawn apart from the rest: seeds without either are the runs that they were.
  const wide = chanceOf(seed, 'wide')
  const plan: Plan = {
    seed,
    operations,
    servers,
    clients,
    callers: wide.pick([0, 1, 3]),
    isWide: wide.below(2) === 0,
    workers: 2 + chance.below(3),
    shards: instances,
    instances,
    logBytesMin: 16 * 1024,
    ttlsMs: Array.from({ length: clients }, () => chance.pick([600, 1_500, 4_000, 10_000])),
    serverRates: Array.from({ length: servers }, rate),
    clientRates: Array.from({ length: clients }, rate),
    storeRates: chance.below(3) === 0 ? {} : ratesOf(chance, 0.02),
    network: {
      delayMsMax: chance.pick([1, 3, 10]),
      slow: chance.pick([0, 0, 0.01]),
      slowMsMax: 1_500,
      repeated: 0,
    },
    faults: [],
  }
  const everyMs = chance.pick([1_000, 2_000, 4_000])
  for (let atMs = 3_000; atMs < HORIZON_MS; atMs += chance.between(everyMs / 2, everyMs * 1.5))
    plan.faults.push(faultOf(chance, plan, atMs))
  if (plan.isWide) plan.faults.push(...limitsOf(wide, plan))
  plan.faults.push(...frozenOf(chanceOf(seed, 'frozen'), plan))
  plan.faults.push(...tornOf(chanceOf(seed, 'torn'), plan))
  plan.faults.push(...fillsOf(chanceOf(seed, 'room')))
  return plan
}

/** In a third of the seeds. */
function fillsOf(chance: Chance): Fault[] {
  if (chance.below(3) > 0) return []
  const faults: Fault[] = []
  for (let atMs = chance.between(6_000, 15_000); atMs < HORIZON_MS; atMs += chance.between(8_000, 25_000))
    faults.push({ atMs, lastsMs: chance.between(500, 12_000), kind: 'fill_store', littleMs: chance.between(0, 6_000) })
  return faults
}

/** In half of the seeds. Servers give a connection up on which nothing has come in for a second or two. */
function tornOf(chance: Chance, { servers }: Plan): Fault[] {
  if (chance.below(2) === 0) return []
  const faults: Fault[] = []
  for (let atMs = 3_000; atMs < HORIZON_MS; atMs += chance.between(500, 5_000)) {
    const lateMs = chance.pick([10, 300, 3_000, 15_000]) * chance.fraction()
    faults.push({
      atMs,
      lastsMs: chance.between(0, 2_000),
      kind: 'tear_links',
      server: chance.below(servers),
      lateMs,
    })
  }
  return faults
}

/** In half of the seeds machines are frozen, in half of these those of servers too. */
function frozenOf(chance: Chance, { servers, clients, callers }: Plan): Fault[] {
  const who = chance.pick(['nobody', 'nobody', 'clients', 'all'] as const)
  if (who === 'nobody') return []
  const faults: Fault[] = []
  for (let atMs = 3_000; atMs < HORIZON_MS; atMs += chance.between(1_000, 6_000)) {
    const frozen = { atMs, lastsMs: chance.between(200, 12_000), isWallSet: chance.below(2) === 0 }
    const place = chance.below(clients + callers + (who === 'all' ? servers : 0))
    if (place < clients) faults.push({ ...frozen, kind: 'freeze_client', client: place })
    else if (place < clients + callers) faults.push({ ...frozen, kind: 'freeze_caller', caller: place - clients })
    else faults.push({ ...frozen, kind: 'freeze_server', server: place - clients - callers })
  }
  return faults
}

function limitsOf(chance: Chance, { instances }: Plan): Fault[] {
  const limits: Fault[] = []
  for (let atMs = 3_000; atMs < HORIZON_MS; atMs += chance.between(500, 3_000))
    for (let instance = 0; instance < instances; instance++)
      limits.push({ atMs, lastsMs: 0, kind: 'limit', lock: configuredLock, limit: 1 + chance.below(4), instance })
  return limits
}

function ratesOf(chance: Chance, max: number): StoreRates {
  const rates: StoreRates = {}
  for (const fault of ['lost', 'reply_lost', 'late', 'repeated', 'slow', 'refused', 'stale', 'read_lost'] as const)
    if (chance.below(2) === 0) rates[fault] = chance.fraction() * (fault === 'refused' ? max / 10 : max)
  return rates
}

function faultOf(chance: Chance, { servers, clients, instances }: Plan, atMs: number): Fault {
  const server = chance.below(servers)
  const client = chance.below(clients)
  const ways = chance.pick(['both', 'out', 'in'] as const)
  const instance = chance.below(instances)
  const briefly = { atMs, lastsMs: chance.between(50, 1_500) }
  const lasting = { atMs, lastsMs: chance.between(300, 6_000) }
  switch (chance.below(18)) {
    case 0:
    case 1:
      return { ...lasting, kind: 'kill_server', server }
    case 2:
      return { ...briefly, kind: 'leave_server', server }
    case 3:
    case 4:
      return { ...lasting, kind: 'stop_server', server }
    case 5:
      return { ...lasting, kind: 'suspend_server', server }
    case 6:
      return { ...lasting, kind: 'cut_from_store', server, ways }
    case 7:
      return { ...lasting, kind: 'cut_from_clients', server, ways }
    case 8:
      return { ...lasting, kind: 'cut_from_servers', server, ways }
    case 9:
      return { atMs, lastsMs: chance.between(3_000, 9_000), kind: 'apart', server }
    case 10:
      return { ...lasting, kind: 'storm', rates: ratesOf(chance, 0.3) }
    case 11:
      return { ...briefly, kind: 'kill_client', client }
    case 12:
      return { ...lasting, kind: 'stop_client', client }
    case 13:
      return { ...lasting, kind: 'suspend_client', client }
    case 14:
      return { ...lasting, kind: 'cut_client', client, ways }
    case 15:
      return {
        ...briefly,
        kind: 'step_wall',
        machine: chance.below(servers + clients),
        ms: chance.between(-3.6e6, 3.6e6),
      }
    case 16:
      return {
        ...briefly,
        kind: chance.pick(['force', 'preempt'] as const),
        lock: chance.pick(['hot', 'hot/1', 'permits', 'both']),
        instance,
      }
    default:
      return { ...briefly, kind: 'freeze', prefix: chance.pick(['hot/', 'permits']), instance }
  }
}
