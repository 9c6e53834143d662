/** What befalls clients: paused at the worst moment, killed, dead in thousands. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Violation } from '../../checker/judge.ts'
import { type ClientHandle, Crowd } from '../clients.ts'
import { nowMs } from '../record/recorder.ts'
import { spreadOf } from '../result.ts'
import type { Rig } from '../rig.ts'
import type { Scenario } from '../scenario.ts'

const SHORT_TTLS_MS = [1_000, 1_500]
/** Twice the longest of them. */
const PAUSE_MS = 3_000
const PAUSES = 0.02
const CROWD = 2_000
const CROWD_TTL_MS = 10_000
/** All of them end in a few batches. */
const CROWD_LATE_MS_MAX = 4_000

export const clients: Scenario[] = [
  {
    id: '14',
    name: 'client paused between check and write',
    does: 'a client process stops itself (SIGSTOP) right after it has looked that it holds the lock, for 2 TTL, and then writes',
    expects:
      'the resource refuses what comes late (more than none, or the run shows nothing); what it takes never falls',
    rig: { client: { ttlsMs: SHORT_TTLS_MS } },
    counted: ['I4'],
    async strike(rig) {
      const paused: Promise<void>[] = []
      for (const client of rig.clients.slice(1)) {
        client.onPausing = one => void paused.push(resumed(rig, one))
        client.tell(`pauses ${PAUSES}`)
      }
      await rig.pause(rig.options.seconds * 1_000)
      for (const client of rig.clients) client.tell('pauses 0')
      await sleep(PAUSE_MS)
      await Promise.all(paused)
    },
    verify(_rig, { details }) {
      if (!details.refusedAfterPause) throw new Violation('void: no write came late')
    },
  },
  {
    id: '14b',
    name: 'clients killed',
    does: 'a client process is killed (−9) in the middle of its work, and another starts',
    expects: 'all invariants; what it held is free when its promises are over',
    boundMs: 3_000,
    async strike(rig) {
      for (let index = rig.clients.length; !rig.isOver; index++) {
        const client = rig.chance.pick(rig.clients.slice(1).filter(({ isRunning }) => isRunning))
        await rig.fault('kill -9 of a client process', async () => {
          await client.kill()
          await rig.pause(500, 2_000)
        })
        await rig.startClient(index)
        await rig.pause(1_000, 3_000)
      }
    },
  },
  {
    id: '15',
    name: 'two thousand sessions die at once',
    does: `a process with ${CROWD} sessions, each of which holds a lock, is killed (−9) while others work`,
    expects: 'all of them expire, none before its promise; the others go on',
    boundMs: 3_000,
    strike: killCrowd,
    verify({ options: { slack }, measured: { crowdExpired = 0, crowdLateMsMax = 0 } }) {
      if (crowdExpired < CROWD) throw new Violation(`I8: ${crowdExpired} of ${CROWD} sessions have ended`)
      if (crowdLateMsMax > CROWD_LATE_MS_MAX * slack)
        throw new Violation(`I9: the last of them ended ${crowdLateMsMax} ms late`)
    },
  },
]

async function killCrowd(rig: Rig): Promise<void> {
  const urls = rig.servers.map((_, place) => rig.links.url(place))
  const crowd = new Crowd({ urls, count: CROWD, ttlMs: CROWD_TTL_MS })
  try {
    await crowd.line(line => line === 'ready')
    await rig.pause(2_000)
  } finally {
    crowd.child.kill('SIGKILL')
    await crowd.exited
  }
  const diedMs = nowMs()
  const expired = () =>
    rig.recorded.flatMap(({ written: { entry }, atMs }) =>
      entry.record === 'grant' && entry.type === 'expired' && entry.lock.startsWith('crowd/') ? [atMs] : [],
    )
  await rig.fault(`kill -9 of ${CROWD} sessions`, async () => {
    const untilMs = performance.now() + CROWD_TTL_MS + 2 * CROWD_LATE_MS_MAX
    while (expired().length < CROWD && performance.now() < untilMs) await sleep(100)
  })
  const all = expired()
  const late = spreadOf(all.map(atMs => atMs - diedMs - CROWD_TTL_MS))
  Object.assign(rig.measured, { crowdExpired: all.length, crowdLateMsP50: late.p50, crowdLateMsMax: late.max })
  await rig.pause(2_000)
}

async function resumed(rig: Rig, { child }: ClientHandle): Promise<void> {
  await rig.fault('SIGSTOP of a client between check and write', async () => {
    await sleep(PAUSE_MS)
    child.kill('SIGCONT')
  })
}
