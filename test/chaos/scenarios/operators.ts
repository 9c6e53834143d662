/** What operators do to locks while their holders cannot hear of it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Violation } from '../../checker/judge.ts'
import { asker } from '../../harness/rest.ts'
import type { Rig } from '../rig.ts'
import type { Scenario } from '../scenario.ts'

const PAUSE_MS = { low: 1_500, high: 3_500 }
/** For a lock to be held by somebody of the process. */
const HOLDS_MS_MAX = 3_000

export const operators: Scenario[] = [
  {
    id: '18',
    name: 'forced and preempted while the holder is away',
    does: 'a client process is stopped (SIGSTOP), and what it holds is taken from it by force or by preemption; then it goes on',
    expects: 'no overlap of belief: the next grant waits until the promise is over',
    boundMs: 3_000,
    async strike(rig) {
      let ended = 0
      while (!rig.isOver) {
        const client = rig.chance.pick(rig.clients.slice(1))
        await rig.fault('holder stopped, its locks forced or preempted', async () => {
          const held = await holding(rig, client.config.index)
          client.child.kill('SIGSTOP')
          try {
            for (const lock of held) if (await end(rig, lock)) ended++
            await sleep(rig.chance.between(PAUSE_MS.low, PAUSE_MS.high))
          } finally {
            client.child.kill('SIGCONT')
          }
        })
        await rig.pause(500, 2_000)
      }
      rig.measured.grantsEndedByOperators = ended
      if (ended === 0) throw new Violation('void: nothing was taken from anybody')
    },
  },
]

/** Locks that sessions of this process hold now, as the record says; waits for one. */
async function holding(rig: Rig, index: number): Promise<string[]> {
  const untilMs = performance.now() + HOLDS_MS_MAX
  for (;;) {
    const { grants, sessions } = rig.log.judge('default')
    const held = [...grants].flatMap(([lock, holders]) =>
      [...holders.values()].some(({ session }) => sessions.get(session)?.labels?.holder?.startsWith(`client-${index}.`))
        ? [lock]
        : [],
    )
    if (held.length > 0 || performance.now() > untilMs) return held
    await sleep(5)
  }
}

/** Whether there was anything to end: it may have been given back meanwhile. */
async function end(rig: Rig, lock: string): Promise<boolean> {
  const { url } = rig.chance.pick(rig.servers)
  const how = rig.chance.pick(['force-release', 'preempt'] as const)
  const body = { reason: 'chaos', ...(how === 'preempt' ? { grace_ms: 500 } : {}) }
  const { status } = await asker(url)('POST', `/v2/locks/${encodeURIComponent(lock)}/${how}`, body)
  return status === 200
}
