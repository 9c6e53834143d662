/** What befalls reads of the store: a member that has fallen behind answers them as if nothing had happened since. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Violation } from '../../checker/judge.ts'
import { asker } from '../../harness/rest.ts'
import { exclusiveLocks } from '../../simulator/claims.ts'
import type { Rig } from '../rig.ts'
import type { Scenario } from '../scenario.ts'

/** Of reads while a shard is being taken over; the first of each log always. The others come from a member that has not fallen behind. */
const OLD_LOGS = 0.8
const OLD_RECORDS = 0.5
/** Of each log at one takeover: a server that believes them is to come to answer something. */
const OLD_LOGS_MAX = 20
/** Of the store, before the death of the owner. */
const BEHIND_MAX = 30
const ASK_MS = 10

export const reading: Scenario[] = [
  {
    id: '11',
    name: 'old reads with old headers at a takeover',
    does: `owners are killed, and until something is granted again the first reading of each log, four of five of the later ones, and half of all other reads, are answered from before the death, up to ${BEHIND_MAX} revisions`,
    expects: 'recovery waits for the present: nothing is answered or granted on an old log (I20)',
    rig: { carry: 'commits' },
    boundMs: 10_000,
    async strike(rig) {
      while (!rig.isOver) {
        await oldReads(rig)
        await rig.pause(1_000, 4_000)
      }
    },
    verify: struck,
  },
]

/** The owner dies, and whoever takes over is told of the time before. */
export async function oldReads(rig: Rig): Promise<void> {
  const { chance, links, recorder } = rig
  const place = await rig.owner()
  const asking = new AbortController()
  await rig.fault('kill -9 of the owner', async () => {
    const revision = Math.max(1, recorder.revision - 1 - chance.below(BEHIND_MAX))
    await rig.servers[place]!.kill()
    const old = new Map<string, number>()
    links.age(key => {
      // A long log is read in pages, each from a key of its own.
      const [log = '', page] = key.split('/log/')
      if (page === undefined) return chance.isLuckyAt(OLD_RECORDS) ? revision : null
      const before = old.get(log) ?? 0
      if (before >= OLD_LOGS_MAX || (before > 0 && !chance.isLuckyAt(OLD_LOGS))) return null
      old.set(log, before + 1)
      return revision
    })
    const asked = rig.servers.filter((_, other) => other !== place).map(({ url }) => ask(url, asking.signal))
    try {
      await rig.granted()
    } finally {
      asking.abort()
      links.heal()
    }
    await Promise.all(asked)
    await rig.startServer(place)
  })
}

/** So that somebody is answered from memory as soon as anything is. */
async function ask(url: string, signal: AbortSignal): Promise<void> {
  const get = asker(url)
  for (; !signal.aborted; await sleep(ASK_MS)) {
    await get('GET', `/v2/locks/${encodeURIComponent(exclusiveLocks[0] ?? '')}`).catch(() => {
      // It is being stopped, or is not yet there.
    })
  }
}

/** A fault that never struck shows nothing. */
export function struck({ links }: Rig): void {
  if (!links.fates['old logs'])
    throw new Violation(`void: no log was read as it had been: ${JSON.stringify(links.fates)}`)
}
