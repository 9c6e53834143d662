/** What befalls the disks of the store: syncs that take for ever or fail, and room that ends. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../../packages/server/src/clock.ts'
import { openEtcd } from '../../../packages/server/src/engine/etcd/etcd.ts'
import { Violation } from '../../checker/judge.ts'
import { debian } from '../../harness/debian.ts'
import type { EtcdMember } from '../../harness/etcd.ts'
import { fill, fillUp } from '../../harness/foreign-data.ts'
import type { Scenario } from '../scenario.ts'

const STALL_MS = 9_000
const DIES_MS_MAX = 10_000
const QUOTA_BYTES = 24 * 1024 * 1024
const ROOM_MS_MAX = 90_000
const WORKS_MS = 6_000
/** Elsewhere members need not. */
const synced = { etcd: { isSynced: true } }
const syncs = 'fsync,fdatasync'

export const disks: Scenario[] = [
  {
    id: '10',
    name: 'syncs of the etcd leader stall',
    does: 'each fsync and fdatasync of the etcd leader takes 9 s longer, for 9 s, again and again',
    expects: 'all invariants; another leader is found',
    needs: needsStrace,
    rig: synced,
    boundMs: 12_000,
    async strike(rig) {
      while (!rig.isOver) {
        const leader = await rig.etcd.leader()
        await rig.fault('syncs of the etcd leader stall', async () => {
          const tracer = inject(leader, `delay_enter=${STALL_MS * 1_000}`)
          await sleep(STALL_MS)
          await detach(tracer)
        })
        await rig.etcd.allReady()
        await rig.pause(2_000, 4_000)
      }
    },
  },
  {
    id: '10b',
    name: 'syncs of an etcd member fail',
    does: 'fsync and fdatasync of a member of etcd answer EIO; it is started again when it has ended',
    expects: 'all invariants; the member ends by itself, and the others go on',
    needs: needsStrace,
    rig: synced,
    boundMs: 8_000,
    async strike(rig) {
      while (!rig.isOver) {
        const { etcd } = rig
        const member = await etcd.leader()
        await rig.fault('EIO in syncs of the etcd leader', async () => {
          const tracer = inject(member, 'error=EIO')
          await ends(member)
          await detach(tracer)
          etcd.start(member)
          await etcd.allReady()
        })
        await rig.pause(1_500, 4_000)
      }
    },
  },
  {
    id: '13',
    name: 'quota reached and relieved',
    does: 'foreign data fills etcd up to 87 % of its quota, then beyond it, where etcd takes nothing; room comes back by itself',
    expects: 'acquires are refused as storage_full; nothing is lost; it goes on without anybody’s doing',
    rig: {
      etcd: { flags: [`--quota-backend-bytes=${QUOTA_BYTES}`] },
      serverFlags: ['--etcd-quota-bytes', String(QUOTA_BYTES)],
      client: { ttlsMs: [30_000, 60_000], idleEveryMs: 3_000 },
    },
    async strike(rig) {
      const filler = await openEtcd({ urls: rig.etcd.urls, clock: systemClock, quotaBytes: QUOTA_BYTES })
      try {
        for (const share of [0.87, 1]) {
          const act = async () => {
            await (share < 1 ? fill(filler, share) : fillUp(filler))
            // Until the servers have seen it.
            await sleep(3_000)
            await rig.granted(ROOM_MS_MAX)
          }
          await rig.fault(`etcd filled to ${share * 100} %`, act, { isAnsweredDuring: false })
          // Time to work again, however long it took.
          await sleep(WORKS_MS)
          await rig.revive()
        }
      } finally {
        await filler.close()
      }
    },
    verify(_rig, { counts }) {
      if (!counts['failed storage_full']) throw new Violation('void: nothing was refused for want of room')
    },
  },
]

/** Of this machine, or of Debian. */
function strace(): { file: string; env: NodeJS.ProcessEnv } | string {
  if (spawnSync('strace', ['-V']).status === 0) return { file: 'strace', env: process.env }
  const installed = debian('strace')
  return typeof installed === 'string' ? installed : { file: installed.bin('strace'), env: installed.env }
}

/** Tried on a program that does nothing: a machine may have it and not allow it. */
export function needsStrace(): string | null {
  const found = strace()
  if (typeof found === 'string') return `no strace: ${found}`
  const tried = spawnSync(found.file, ['-f', '-o', '/dev/null', 'true'], { env: found.env, encoding: 'utf8' })
  return tried.status === 0 ? null : `strace is not allowed to trace here: ${tried.stderr.trim()}`
}

/** What is to fail or to take long: by default syncs; with `paths`, only calls on these files. */
type Struck = { calls?: string; paths?: readonly string[] }

/** From now on, these calls of the process meet this fate. */
export function inject(
  { pid }: { pid: number | null },
  fate: string,
  { calls = syncs, paths = [] }: Struck = {},
): ChildProcess {
  const found = strace()
  if (typeof found === 'string') throw new Error(found)
  const args = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${calls}`, '-e', `inject=${calls}:${fate}`]
  for (const path of paths) args.push('-P', path)
  return spawn(found.file, [...args, '-p', String(pid)], { env: found.env, stdio: 'ignore' })
}

/** Threads that are being delayed go on when nobody traces them. */
export async function detach(tracer: ChildProcess): Promise<void> {
  if (tracer.exitCode !== null || tracer.signalCode !== null) return
  const gone = new Promise(resolve => tracer.once('exit', resolve))
  tracer.kill('SIGKILL')
  await gone
}

async function ends(member: EtcdMember): Promise<void> {
  const untilMs = performance.now() + DIES_MS_MAX
  while (member.isRunning) {
    if (performance.now() > untilMs) throw new Violation('void: the member did not mind that its syncs failed')
    await sleep(50)
  }
}
