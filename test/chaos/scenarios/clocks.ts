/** Clocks that run fast or slow, or are set to another hour: libfaketime on servers and clients. It does not reach etcd, which is told no time by us. */
import { globSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { debian } from '../../harness/debian.ts'
import type { RigOptions } from '../rig.ts'
import type { Scenario } from '../scenario.ts'
import { killOwners } from './servers.ts'

const HOUR_S = 3_600
const bootClock = fileURLToPath(new URL('../client/boot-clock.mjs', import.meta.url))

export const clocks: Scenario[] = [
  {
    id: '16',
    name: 'clocks of servers fast, of clients slow',
    does: 'all clocks of the servers run at 1.1, all of the clients at 0.9: servers take away early, clients believe long; owners are killed',
    expects: 'no overlap of belief: this is what is assumed at most',
    needs: needsFaketime,
    rig: rates({ servers: 1.1, clients: 0.9 }),
    boundMs: 6_000,
    strike: killOwners,
  },
  {
    id: '16b',
    name: 'clocks of servers slow, of clients fast',
    does: 'all clocks of the servers run at 0.9, all of the clients at 1.1; owners are killed',
    expects: 'no overlap of belief; expiry is later by a tenth',
    needs: needsFaketime,
    rig: rates({ servers: 0.9, clients: 1.1 }),
    boundMs: 6_000,
    strike: killOwners,
  },
  {
    id: '16c',
    name: 'clocks beyond what is assumed',
    does: 'clocks of the servers run at 2, of the clients at 0.5; owners are killed',
    expects:
      'tokens and the log hold (I1 to I3); belief overlaps, which is counted, and the resource refuses what comes late',
    needs: needsFaketime,
    rig: rates({ servers: 2, clients: 0.5 }),
    counted: ['I4', 'I9', 'I21'],
    strike: killOwners,
  },
  {
    id: '17',
    name: 'wall clocks set by an hour',
    does: 'the wall clock of one process after another is set an hour ahead or back; other clocks go on',
    expects: 'nothing happens: wall time is a label',
    needs: needsFaketime,
    rig: {
      serverEnv: (place, folder) => wall(`${folder}/wall-server-${place}`),
      clientEnv: (index, folder) => wall(`${folder}/wall-client-${index}`),
    },
    boundMs: 2_500,
    async strike(rig) {
      while (!rig.isOver) {
        const side = rig.chance.pick(['server', 'client'] as const)
        const place = rig.chance.below(side === 'server' ? rig.servers.length : rig.clients.length)
        await rig.fault(`wall clock of a ${side} set`, async () => {
          const seconds = rig.chance.pick([-HOUR_S, 0, HOUR_S])
          writeFileSync(`${rig.options.folder}/wall-${side}-${place}`, offset(seconds))
        })
        await rig.pause(1_000, 3_000)
      }
    },
  },
]

function library(): string | null {
  const installed = debian('faketime')
  if (typeof installed === 'string') return null
  return globSync(`${installed.root}/usr/lib/*/faketime/libfaketimeMT.so.1`)[0] ?? null
}

function needsFaketime(): string | null {
  const installed = debian('faketime')
  if (typeof installed === 'string') return `no libfaketime: ${installed}`
  return library() ? null : 'no libfaketime in the package'
}

function rates({ servers, clients }: { servers: number; clients: number }): Partial<RigOptions> {
  return {
    serverEnv: () => atRate(servers),
    clientEnv: () => atRate(clients),
    client: { rate: clients, isClockFaked: true },
  }
}

function atRate(rate: number): NodeJS.ProcessEnv {
  return {
    LD_PRELOAD: library() ?? '',
    FAKETIME: `+0 x${rate}`,
    CHAOS_CLOCK_RATE: String(rate),
    NODE_OPTIONS: `--import=${bootClock}`,
  }
}

/** It is looked into once a second. */
function wall(file: string): NodeJS.ProcessEnv {
  writeFileSync(file, offset(0))
  return {
    LD_PRELOAD: library() ?? '',
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_CACHE_DURATION: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
  }
}

function offset(seconds: number): string {
  return `${seconds < 0 ? '' : '+'}${seconds}\n`
}
