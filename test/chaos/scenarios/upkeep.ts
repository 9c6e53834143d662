/** What operators do while the service works: restart servers, replace members. */
import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Violation } from '../../checker/judge.ts'
import type { Rig } from '../rig.ts'
import type { Scenario } from '../scenario.ts'

export const upkeep: Scenario[] = [
  {
    id: '19',
    name: 'rolling restart',
    does: 'one server after another is told to stop (SIGTERM) and started again',
    expects: 'all invariants; no operation of unknown outcome; nobody waits for a death',
    unknownMax: 0,
    boundMs: 2_500,
    async strike(rig) {
      for (let place = 0; !rig.isOver; place = (place + 1) % rig.servers.length) {
        await rig.fault('server stopped in good order, and started', async () => {
          const code = await rig.servers[place]!.stop()
          if (code !== 0) throw new Violation(`a server that was told to stop ended with ${code}`)
          await rig.startServer(place)
        })
        await rig.pause(1_000, 2_000)
      }
    },
  },
  {
    id: '19b',
    name: 'members replaced',
    does: 'a member of etcd is killed, removed from the cluster, and a new one without data takes its place',
    expects: 'all invariants; the new member has what the others have',
    boundMs: 8_000,
    async strike(rig) {
      while (!rig.isOver) {
        await rig.fault('etcd member removed, and another added', () => replace(rig))
        await rig.pause(2_000, 4_000)
      }
    },
  },
]

/** At the same address, so that servers need not be told. */
async function replace(rig: Rig): Promise<void> {
  const { etcd, chance, recorder } = rig
  const member = chance.pick(etcd.members)
  const list = () => recorder.client.memberList({ isLinearizable: true })
  const known = (await again(list)).find(({ name }) => name === member.name)
  if (!known) throw new Error(`${member.name} is not in the list`)
  await member.kill()
  await again(() => recorder.client.memberRemove(known.id))
  rmSync(member.dataDirectory, { recursive: true })
  await again(() => recorder.client.memberAdd({ peerUrls: [member.peerUrl], isLearner: false }))
  etcd.start(member, ['--initial-cluster-state=existing'])
  await etcd.ready(member)
}

const AGAIN_MS = 250
const TRIES_MAX = 40

/** An election may be under way; and etcd changes no members while it thinks that not all are well. */
async function again<Result>(act: () => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries++) {
    try {
      return await act()
    } catch (error) {
      if (tries === TRIES_MAX) throw error
      await sleep(AGAIN_MS)
    }
  }
}
