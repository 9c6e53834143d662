/** What befalls the store: members of etcd die, stop, forget, fill up. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Rig } from '../rig.ts'
import type { Scenario } from '../scenario.ts'

/** Longer than an election, shorter than belief. */
const WITHOUT_MS = 2_000
const ALL_DOWN_MS = 4_000

export const store: Scenario[] = [
  {
    id: '2',
    name: 'etcd members killed',
    does: 'the leader, a follower, or all members of etcd are killed (−9) and started again',
    expects: 'all invariants; no server is declared dead for it; granted again soon after',
    boundMs: 8_000,
    async strike(rig) {
      for (let round = rig.chance.below(3); !rig.isOver; round++) {
        await [killLeader, killFollower, killAll][round % 3]!(rig)
        await rig.pause(1_000, 3_000)
      }
    },
  },
  {
    id: '12',
    name: 'compaction storm',
    does: 'etcd is compacted every 100 ms up to what the recorder has, and the leadership moves',
    expects: 'all invariants; nobody waits for what was compacted',
    boundMs: 5_000,
    async strike(rig) {
      let isOver = false
      const compacting = (async () => {
        for (; !isOver; await sleep(100)) await rig.recorder.compact()
      })()
      while (!rig.isOver) {
        await rig.fault('compaction storm, leader moved', () => moveLeader(rig))
        await rig.pause(1_500, 4_000)
      }
      isOver = true
      await compacting
    },
  },
  {
    id: '2b',
    name: 'etcd members stopped',
    does: 'SIGSTOP of a member of etcd for 0.5 to 4 s, then SIGCONT: it goes on with what lay in its sockets',
    expects: 'all invariants; late commits change nothing',
    boundMs: 8_000,
    async strike(rig) {
      while (!rig.isOver) {
        const { members } = rig.etcd
        const member = rig.chance.isLuckyAt(0.5) ? await rig.etcd.leader() : rig.chance.pick(members)
        await rig.fault('SIGSTOP of an etcd member', async () => {
          await member.pause()
          await sleep(rig.chance.between(500, 4_000))
          member.resume()
        })
        await rig.pause(1_500, 4_000)
      }
    },
  },
]

async function killLeader(rig: Rig): Promise<void> {
  const { etcd } = rig
  const leader = await etcd.leader()
  await rig.fault('kill -9 of the etcd leader', async () => {
    await leader.kill()
    await sleep(WITHOUT_MS)
    etcd.start(leader)
    await etcd.ready(leader)
  })
}

async function killFollower(rig: Rig): Promise<void> {
  const { etcd, chance } = rig
  const leader = await etcd.leader()
  const follower = chance.pick(etcd.members.filter(member => member !== leader))
  await rig.fault('kill -9 of an etcd follower', async () => {
    await follower.kill()
    await sleep(WITHOUT_MS)
    etcd.start(follower)
    await etcd.ready(follower)
  })
}

async function killAll(rig: Rig): Promise<void> {
  const { etcd } = rig
  const act = async () => {
    await Promise.all(etcd.members.map(member => member.kill()))
    await sleep(ALL_DOWN_MS)
    for (const member of etcd.members) etcd.start(member)
    await etcd.allReady()
  }
  await rig.fault('kill -9 of all etcd members', act, { isAnsweredDuring: false })
}

async function moveLeader({ etcd, recorder, chance }: Rig): Promise<void> {
  const leader = await etcd.leader()
  const members = await recorder.client.memberList({ isLinearizable: true })
  const others = members.filter(({ name }) => name !== leader.name)
  await recorder.client.at(leader.url).moveLeader(chance.pick(others).id)
}
