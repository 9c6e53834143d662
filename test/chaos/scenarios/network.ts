/** What befalls the network: between servers and store, between clients and servers, in one direction or both. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Violation } from '../../checker/judge.ts'
import type { Fate } from '../../harness/commit-proxy.ts'
import { declaredDead } from '../ended.ts'
import type { Rig } from '../rig.ts'
import { muchWritten, type Scenario } from '../scenario.ts'

const CUT_MS = { low: 3_000, high: 5_000 }
const REPLIES_LOST = 0.05
const REPEATED = 0.05
const BEATS_DELAYED = 0.1

export const network: Scenario[] = [
  {
    id: '5',
    name: 'owner cut from etcd',
    does: 'nothing passes between the owner and etcd, or nothing in one direction, for 3 to 5 s',
    expects: 'no overlap of belief: it stops answering before another takes over',
    ends: declaredDead,
    boundMs: 10_000,
    async strike(rig) {
      await rounds(rig, 'owner cut from etcd', place => rig.links.cutFromStore(place, ways(rig)))
    },
  },
  {
    id: '6',
    name: 'owner cut from everybody but etcd',
    does: 'nothing passes between the owner and its clients and the other servers, in both directions, for 13 to 15 s',
    expects: 'no overlap of belief; handed over by complaints in about 10 s, while it is still cut off',
    boundMs: 12_500,
    async strike(rig) {
      const cut = { low: 13_000, high: 15_000 }
      await rounds(rig, 'owner cut from clients and servers', place => rig.links.cutFromOthers(place, 'both'), cut)
    },
  },
  {
    id: '6b',
    name: 'half-open connections',
    does: 'one direction of all connections of a server is silent for 3 to 5 s, and they stay open',
    expects: 'all invariants; clients find another way',
    boundMs: 14_000,
    async strike(rig) {
      const one = () => rig.chance.pick(['requests', 'replies'] as const)
      await rounds(rig, 'connections half-open', place => rig.links.cutFromOthers(place, one()))
    },
  },
  {
    id: '6c',
    name: 'delay and resets',
    does: 'everything to and from one server takes 20 to 150 ms more each way, and connections break',
    expects: 'all invariants',
    boundMs: 8_000,
    async strike(rig) {
      await rounds(rig, 'delayed, connections broken', place => {
        if (rig.chance.isLuckyAt(0.5)) rig.links.delay(place, rig.chance.between(20, 150))
        else rig.links.refuseOthers(place)
      })
    },
  },
  {
    id: '7',
    name: 'beats delayed',
    does: 'one beat in ten reaches etcd 1.5 to 2.5 s late',
    expects: 'the beat wins or the declaration of death, never both',
    ends: declaredDead,
    rig: { carry: 'commits' },
    async strike(rig) {
      const fate = (body: Buffer): Fate => {
        const isBeat = body.includes('/members/')
        return isBeat && rig.chance.isLuckyAt(BEATS_DELAYED) ? { delayMs: rig.chance.between(1_500, 2_500) } : 'pass'
      }
      await commits(rig, 'window of delayed beats', fate)
      mustHave(rig, 'delayed')
    },
  },
  {
    id: '8',
    name: 'replies lost after the commit',
    does: 'one commit in twenty is carried out by etcd and its reply is lost, or broken off',
    expects: 'nothing is done twice, nothing acknowledged is missing, nothing refused was done',
    rig: { carry: 'commits' },
    async strike(rig) {
      const fate = (): Fate =>
        rig.chance.isLuckyAt(REPLIES_LOST) ? rig.chance.pick(['lose_reply', 'break_reply', 'lose_request']) : 'pass'
      await commits(rig, 'window of lost replies', fate)
      mustHave(rig, 'lose_reply')
    },
  },
  {
    id: '9',
    name: 'commits repeated later',
    does: 'one commit in twenty is sent to etcd again, the same bytes, 1 to 20 s later, while the log is being cleaned',
    expects: 'all of them are refused: one appender, no gap, nothing comes back',
    rig: { carry: 'commits', client: muchWritten },
    async strike(rig) {
      const fate = (): Fate =>
        rig.chance.isLuckyAt(REPEATED) ? { repeatAfterMs: rig.chance.between(1_000, 20_000) } : 'pass'
      await commits(rig, 'window of repeated commits', fate)
      mustHave(rig, 'repeats answered')
    },
  },
]

function ways(rig: Rig): 'both' | 'requests' | 'replies' {
  return rig.chance.pick(['both', 'requests', 'replies'])
}

/** The owner of the moment is struck, healed, and left alone for a while. */
async function rounds(rig: Rig, kind: string, strike: (place: number) => void, lasts = CUT_MS): Promise<void> {
  while (!rig.isOver) {
    const place = await rig.owner()
    await rig.fault(kind, async () => {
      strike(place)
      await sleep(rig.chance.between(lasts.low, lasts.high))
      rig.links.heal()
    })
    // One that was declared dead ends, and is started again.
    await rig.pause(3_000, 5_000)
  }
}

/** For the whole run. */
async function commits(rig: Rig, kind: string, fate: (body: Buffer) => Fate): Promise<void> {
  rig.links.decide(fate)
  while (!rig.isOver) {
    await rig.fault(kind, () => rig.pause(1_000, 3_000))
  }
  rig.links.heal()
}

/** A fault that never struck shows nothing. */
function mustHave(rig: Rig, fate: string): void {
  if (!rig.links.fates[fate]) throw new Violation(`void: no commit met this fate: ${JSON.stringify(rig.links.fates)}`)
}
