/** What befalls servers. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Violation } from '../../checker/judge.ts'
import { declaredDead } from '../ended.ts'
import type { Rig } from '../rig.ts'
import { muchWritten, type Scenario } from '../scenario.ts'

/** M: how long a member that says nothing is left alone. */
const MEMBER_TTL_MS = 2_000

export const servers: Scenario[] = [
  {
    id: '1',
    name: 'steady',
    does: 'nothing is done to anybody',
    expects: 'all invariants; nothing of unknown outcome; the figures to compare with',
    isFaultless: true,
    unknownMax: 0,
    async strike(rig) {
      await rig.pause(rig.options.seconds * 1_000)
    },
  },
  {
    id: '3',
    name: 'owners killed',
    does: 'the owner is killed (−9) and started again, over and over',
    expects: 'all invariants; next grant < M + 1 s and the reading of the log',
    rig: { client: muchWritten },
    boundMs: 6_000,
    strike: killOwners,
  },
  {
    id: '4',
    name: 'owner stopped',
    does: 'SIGSTOP of the owner for 3 M with its clients connected to it, then SIGCONT',
    expects: 'no overlap of belief; it grants nothing when it goes on, and ends',
    ends: declaredDead,
    boundMs: 12_000,
    async strike(rig) {
      while (!rig.isOver) {
        const place = await rig.owner()
        const stopped = rig.servers[place]!
        await rig.fault('SIGSTOP of the owner', async () => {
          stopped.child.kill('SIGSTOP')
          await sleep(3 * MEMBER_TTL_MS)
          stopped.child.kill('SIGCONT')
          await endsByItself(rig, place)
        })
        await rig.startServer(place)
        await rig.pause(1_000, 4_000)
      }
    },
  },
]

/** One after another, and started again when others have taken over. */
export async function killOwners(rig: Rig): Promise<void> {
  while (!rig.isOver) {
    const place = await rig.owner()
    await rig.fault('kill -9 of the owner', async () => {
      await rig.servers[place]!.kill()
      await rig.granted()
      await rig.startServer(place)
    })
    await rig.pause(1_000, 4_000)
  }
}

/** One that was declared dead meanwhile finds that out with its first beat. */
async function endsByItself(rig: Rig, place: number): Promise<void> {
  const server = rig.servers[place]!
  const code = await Promise.race([server.exited, sleep(15_000, 'nothing' as const, { ref: false })])
  if (code === 1) return
  await server.kill()
  throw new Violation(`I21: a server that was declared dead went on: it ended with ${code}: ${server.output()}`)
}
