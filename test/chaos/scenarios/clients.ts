/** What befalls clients: paused at the worst moment, killed, dead in thousands. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Violation } from '../../checker/judge.ts'
import type { ClientHandle } from '../clients.ts'
import type { Rig } from '../rig.ts'
import type { Scenario } from '../scenario.ts'

const SHORT_TTLS_MS = [1_000, 1_500]
/** Twice the longest of them. */
const PAUSE_MS = 3_000
const PAUSES = 0.02

export const clients: Scenario[] = [
  {
    id: '14',
    name: 'client paused between check and write',
    does: 'a client process stops itself (SIGSTOP) right after it has looked that it holds the lock, for 2 TTL, and then writes',
    expects:
      'the resource refuses what comes late (more than none, or the run shows nothing); what it takes never falls',
    rig: { client: { ttlsMs: SHORT_TTLS_MS } },
    countsOverlaps: true,
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
    verify(_rig, { refused }) {
      if (refused === 0) throw new Violation('void: no write came late')
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
]

async function resumed(rig: Rig, { child }: ClientHandle): Promise<void> {
  await rig.fault('SIGSTOP of a client between check and write', async () => {
    await sleep(PAUSE_MS)
    child.kill('SIGCONT')
  })
}
