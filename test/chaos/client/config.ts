/** What a client process is told of itself when it is started. */
import type { ClientConfig } from './process.ts'
import { sleptSinceBootMs } from './real-time.ts'

export const INSTANCE = 'default'

/** Of the sessions of a process, in turn. */
export const TTLS_MS = [10_000, 1_500, 4_000, 2_500]

/** What the client processes of a run have in common. */
export type ClientsOf = Pick<ClientConfig, 'urls' | 'seed' | 'resourcePort'> & { folder: string }

/** Of one of them, by its number. */
export function clientConfig(
  { folder, ...common }: ClientsOf,
  index: number,
  more: Partial<ClientConfig>,
): ClientConfig {
  return {
    ...common,
    index,
    instance: INSTANCE,
    clients: 4,
    workers: 2,
    ttlsMs: TTLS_MS,
    paceMs: 40,
    history: `${folder}/client-${index}.jsonl`,
    rate: 1,
    isClockFaked: false,
    sleptMs: sleptSinceBootMs(),
    watches: index === 0,
    idleEveryMs: 1_000,
    idleTtlMs: 1_000,
    coldPaceMs: 60,
    coldLocks: 1_000,
    coldValueChars: 0,
    ...more,
  }
}
