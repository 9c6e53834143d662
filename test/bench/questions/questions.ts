/** All that the benchmark can be asked, by name. */
import type { ContenderId } from '../peers/contenders.ts'
import type { Report } from '../report.ts'
import { busy } from './busy.ts'
import { clusterCycles, clusterEndurance, clusterHandOver } from './cluster.ts'
import { cycles } from './cycles.ts'
import { decisions } from './decisions.ts'
import { encryption } from './encryption.ts'
import { expiry } from './expiry.ts'
import { growth } from './growth.ts'
import { handOver, oneAtATime } from './latency.ts'
import { sideBySide } from './matrix.ts'
import { neighbour } from './neighbour.ts'
import { recovery } from './recovery.ts'
import { renewals } from './renewals.ts'
import { rest } from './rest.ts'
import { space } from './space.ts'
import { start } from './start.ts'
import { watchers } from './watchers.ts'

export type Asked = { isQuick: boolean; peers?: readonly ContenderId[] }

export const questions: Record<string, { about: string; ask(asked: Asked): Promise<Report> }> = {
  cycles: { about: 'uncontended cycles, 512 at once, beside Redlock and npm etcd3', ask: cycles },
  'one-at-a-time': { about: 'one cycle when nobody else is there, in synced commits', ask: oneAtATime },
  'hand-over': { about: 'one lock, 64 waiters, in synced commits', ask: handOver },
  rest: { about: 'cycles over REST v1', ask: rest },
  encryption: { about: 'what an encrypted store costs', ask: encryption },
  renewals: { about: '100,000 sessions that renew', ask: renewals },
  growth: { about: 'the cost of an operation among a million locks, or ten thousand waiters', ask: growth },
  recovery: { about: 'a million held locks: time to come back, and memory', ask: recovery },
  start: { about: 'from `npm start` until the service answers, the second time', ask: start },
  space: { about: 'the data folder after ten million cycles', ask: space },
  neighbour: { about: 'what one instance notices of another', ask: neighbour },
  decisions: { about: 'one decision with a thousand policies', ask: decisions },
  busy: { about: 'cycles on a machine that others want too', ask: busy },
  'cluster-cycles': { about: 'uncontended cycles over etcd, beside others on etcd and Redis', ask: clusterCycles },
  'cluster-hand-over': { about: 'one lock, 64 waiters, over etcd', ask: clusterHandOver },
  'cluster-endurance': { about: 'ten minutes of load over etcd, renewals alone, a failover', ask: clusterEndurance },
  matrix: { about: 'each contender at each work, in turns', ask: sideBySide },
  expiry: { about: '10,000 sessions that end at once', ask: expiry },
  watchers: { about: '1,000 watchers of one lock', ask: watchers },
}

const SIDE_BY_SIDE = ['matrix', 'expiry', 'watchers', 'renewals', 'recovery']
const OWN_RUN = ['matrix', 'expiry', 'watchers']

export const groups: Record<string, { about: string; of: readonly string[] }> = {
  'side-by-side': { about: 'Holdfast and what others use for the same work', of: SIDE_BY_SIDE },
  usual: {
    about: 'what is asked when nothing is named',
    of: Object.keys(questions).filter(name => !OWN_RUN.includes(name)),
  },
}
