/** The small worlds that are walked. */
import { coreSteps } from './core-steps.ts'
import type { Limits, Steps } from './explore.ts'
import { logSteps } from './log-steps.ts'
import type { OwnersWorld } from './owners/bounds.ts'
import { ownerSteps } from './owners/world.ts'

export type SmallWorld = {
  name: string
  about: string
  make: () => Steps | Promise<Steps>
  limits: Limits
}

const limits = { depthMax: 80, statesMax: 4_000_000, secondsMax: 300 }

/** Two servers and time, without anything that goes wrong: what follows says what does, and how often. */
const calm: OwnersWorld = {
  clocks: ['all clocks agree'],
  grains: 6,
  stops: 0,
  suspensions: 0,
  kills: 0,
  slow: 0,
  losses: 0,
  handOvers: 0,
  renewals: 0,
  isSlowNet: false,
  unsteady: ['a'],
  isMutual: false,
  isAwaited: false,
}

/** Small enough to be walked whole with every change. */
export const ownerWorlds = {
  beats: { ...calm, grains: 5, slow: 1, losses: 1 },
  drift: { ...calm, clocks: ['the owner’s clock is slow'], stops: 1, suspensions: 1 },
  renewal: { ...calm, grains: 5, stops: 1, renewals: 1 },
  holder: {
    ...calm,
    grains: 5,
    clocks: ['all clocks agree', 'the holder’s clock is slow'],
    renewals: 1,
    isSlowNet: true,
    isAwaited: true,
  },
  longer: { ...calm, grains: 8, kills: 1, renewals: 1, renewsForMs: 4_000 },
  handOver: { ...calm, grains: 3, slow: 1, handOvers: 1, isAwaited: true },
} as const satisfies Record<string, OwnersWorld>

export const worlds: readonly SmallWorld[] = [
  {
    name: 'log-repeats',
    about: 'two servers, one log of two appends each: a death, a commit that is applied again',
    make: () => logSteps({ servers: 2, appends: 2, losses: 0, repeats: 1, deaths: 1 }),
    limits,
  },
  {
    name: 'log-losses',
    about: 'the same: a death, a call that is given up in its middle',
    make: () => logSteps({ servers: 2, appends: 2, losses: 1, repeats: 0, deaths: 1 }),
    limits,
  },
  {
    name: 'log',
    about: 'two servers, three appends each: a death, a call given up and a commit applied again by each',
    make: () => logSteps({ servers: 2, appends: 3, losses: 1, repeats: 1, deaths: 1 }),
    limits,
  },
  {
    name: 'core-exclusive',
    about: 'the pure core: two sessions, one exclusive lock, every command, seven deep',
    make: () => coreSteps({ sessions: 2, locks: ['exclusive'], cleans: true }),
    limits: { ...limits, depthMax: 7 },
  },
  {
    name: 'core-both',
    about: 'the same with a lock that is shared and exclusive, six deep',
    make: () => coreSteps({ sessions: 2, locks: ['both'], cleans: false }),
    limits: { ...limits, depthMax: 6 },
  },
  {
    name: 'core-permits',
    about: 'three sessions, a semaphore of two, six deep',
    make: () => coreSteps({ sessions: 3, locks: ['permits'], cleans: false }),
    limits: { ...limits, depthMax: 6 },
  },
  {
    name: 'owner-beats',
    about: 'beats, deaths and takeovers with time: the owner is stopped, and a commit of its is slow or given up',
    make: () => ownerSteps({ ...ownerWorlds.beats, grains: 6, stops: 1 }),
    limits,
  },
  {
    name: 'owner-drift',
    about: 'the same by clocks that go at different rates: the owner is stopped twice, or its machine suspended',
    make: () => ownerSteps({ ...ownerWorlds.drift, grains: 7, stops: 2, slow: 1 }),
    limits,
  },
  {
    name: 'owner-rivals',
    about: 'both servers are stopped or slow, each looks at the other and takes over from it',
    make: () => ownerSteps({ ...calm, grains: 7, stops: 1, slow: 1, losses: 1, unsteady: ['a', 'b'], isMutual: true }),
    limits,
  },
  {
    name: 'owner-holder',
    about: 'a holder renews twice over a slow net while its owner is stopped, and another waits for the lock',
    make: () => ownerSteps({ ...ownerWorlds.holder, stops: 1, renewals: 2 }),
    limits,
  },
  {
    name: 'owner-longer',
    about: 'a holder who renews for longer believes beyond the death of its owner',
    make: () => ownerSteps({ ...ownerWorlds.longer, grains: 14, stops: 1, renewals: 2, isAwaited: true }),
    limits,
  },
  {
    name: 'owner-hand-over',
    about: 'a server hands its shard over in good order, with slow commits and a pause',
    make: () => ownerSteps({ ...ownerWorlds.handOver, grains: 5, stops: 1, losses: 1, renewals: 1 }),
    limits,
  },
]
