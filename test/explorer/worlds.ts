/** The small worlds that are walked. */
import { coreSteps } from './core-steps.ts'
import type { Limits, Steps } from './explore.ts'
import { logSteps } from './log-steps.ts'

export type SmallWorld = {
  name: string
  about: string
  make: () => Steps | Promise<Steps>
  limits: Limits
}

const limits = { depthMax: 80, statesMax: 4_000_000, secondsMax: 300 }

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
]
