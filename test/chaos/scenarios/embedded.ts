/** The store inside the server, on LMDB: processes that die, disks that fail or fill up, and a second process. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Violation } from '../../checker/judge.ts'
import { spawnServer } from '../../harness/server.ts'
import type { Rig, RigOptions } from '../rig.ts'
import { muchWritten, type Scenario } from '../scenario.ts'
import { detach, inject, needsStrace } from './disks.ts'

const embedded: Partial<RigOptions> = { engine: 'lmdb', servers: 1, processes: 3, client: muchWritten }
/** Half a second of what these clients write; in service it is 16 MiB. */
const CLEANED_BYTES_MIN = 512 * 1024
/** It has to load its sources first, on whatever machine this is. */
const ENDS_MS_MAX = 30_000
/** Small, but with room for a run. */
const DISK_MIB = 64
const FILLER_BYTES = 1024 * 1024
const WORKS_MS = 4_000
/** What a server says whose disk has failed. */
const unwritten = /The store could not be written/

export const embeddedStore: Scenario[] = [
  {
    id: '21',
    name: 'LMDB: the server killed over and over',
    does: 'the one server is killed (−9) under load and started again on its data',
    expects: 'nothing acknowledged is lost; no token comes twice',
    rig: embedded,
    boundMs: 6_000,
    async strike(rig) {
      await killOver(rig, 500, 2_500)
    },
  },
  {
    id: '21e',
    name: 'LMDB: killed while the log is cleaned',
    does: 'logs are cleaned from 512 KiB on, which is all the time, and the server is killed (−9) meanwhile',
    expects: 'each cleaning leaves what there was, and nothing is gone that was not deleted (I20, I22)',
    rig: { ...embedded, serverEnv: () => ({ CHAOS_LOG_BYTES_MIN: String(CLEANED_BYTES_MIN) }) },
    boundMs: 6_000,
    async strike(rig) {
      await killOver(rig, 1_500, 4_000)
    },
    verify({ log }) {
      const { cleaned, carried } = log.counts
      if (cleaned === 0 || carried === 0)
        throw new Violation(`void: ${cleaned} batches were cleaned, ${carried} entries carried`)
    },
  },
  {
    id: '21b',
    name: 'LMDB: syncs fail',
    does: 'writes to the journals answer EIO, which is when they are synced; and in turns fdatasync and fsync, by which LMDB takes them over',
    expects: 'it ends at once, having acknowledged nothing that was not synced; started again, it goes on',
    ends: unwritten,
    needs: needsStrace,
    rig: embedded,
    boundMs: 12_000,
    async strike(rig) {
      const paths = ['journal-0', 'journal-1'].map(file => `${rig.dataOf(0)}/store/${file}`)
      const strikes = [
        { name: 'EIO in writes to the journal', struck: { calls: 'pwrite64', paths } },
        { name: 'EIO in syncs of the server', struck: {} },
      ]
      for (let times = 0; !rig.isOver; times++) {
        const { name, struck } = strikes[times % strikes.length]!
        await rig.fault(name, async () => {
          const server = rig.servers[0]!
          const tracer = inject({ pid: server.child.pid ?? null }, 'error=EIO', struck)
          await endsByItself(rig)
          await detach(tracer)
          await rig.startServer(0)
        })
        await rig.pause(1_000, 3_000)
      }
    },
  },
  {
    id: '21c',
    name: 'LMDB: the disk is full',
    does: `the data lies on a disk of ${DISK_MIB} MiB, which something else fills up, and leaves`,
    expects: 'acquires are refused or the server ends; nothing acknowledged is lost; it goes on when there is room',
    ends: unwritten,
    needs: needsTmpfs,
    rig: embedded,
    boundMs: 8_000,
    strike: fillDisk,
    verify({ measured }, { counts }) {
      if (!measured.serversStartedAgain && !counts['failed storage_full'])
        throw new Violation('void: nobody minded that the disk was full')
    },
  },
  {
    id: '21d',
    name: 'LMDB: a second process',
    does: 'another server is started on the same data, again and again',
    expects: 'it says that the data is in use, and ends; the first one is not disturbed',
    rig: embedded,
    boundMs: 2_500,
    async strike(rig) {
      while (!rig.isOver) {
        await rig.fault('second process on the same data', async () => {
          const second = await spawnServer({ data: rig.dataOf(0), flags: ['--engine', 'lmdb'] })
          const code = await Promise.race([second.exited, sleep(ENDS_MS_MAX, 'nothing' as const, { ref: false })])
          await second.kill()
          if (code !== 1 || !/in use/.test(second.output()))
            throw new Violation(`a second process was not refused: ${code} ${second.output()}`)
        })
        await rig.pause(500, 2_000)
      }
    },
  },
]

/** One after another, after so long. */
async function killOver(rig: Rig, lowMs: number, highMs: number): Promise<void> {
  while (!rig.isOver) {
    await rig.fault('kill -9 of the server', async () => {
      await rig.servers[0]!.kill()
      await rig.startServer(0)
    })
    await rig.pause(lowMs, highMs)
  }
}

async function endsByItself(rig: Rig): Promise<void> {
  const server = rig.servers[0]!
  const code = await Promise.race([server.exited, sleep(ENDS_MS_MAX, 'nothing' as const, { ref: false })])
  if (code === 1) return
  throw new Violation(`I16: a server whose disk failed did not stop (${code}): ${server.output()}`)
}

function needsTmpfs(): string | null {
  if (process.getuid?.() !== 0) return 'only root can mount a disk of a certain size'
  const tried = spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', '-o', 'size=1m', 'chaos', '/mnt'])
  return tried.status === 0 ? null : `no tmpfs can be mounted here: ${tried.stderr}`
}

/** The folder of the server is moved to a small disk, before it has anything in it that counts. */
async function fillDisk(rig: Rig): Promise<void> {
  const path = rig.dataOf(0)
  const filler = `${path}/filler`
  await rig.servers[0]!.stop()
  const mounted = `${path}.files`
  mkdirSync(mounted)
  run('cp', ['-a', `${path}/.`, mounted])
  run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'chaos', path])
  rig.mounted.push(path)
  run('cp', ['-a', `${mounted}/.`, path])
  await rig.startServer(0)
  while (!rig.isOver) {
    const act = async () => {
      fillUp(filler)
      // Nobody starts a server on a disk that is full.
      await sleep(rig.chance.between(2_000, 4_000))
      rmSync(filler)
      await rig.revive()
    }
    await rig.fault('disk full', act, { isAnsweredDuring: false })
    // Time to work again, however long it took.
    await sleep(WORKS_MS)
    await rig.revive()
  }
}

function fillUp(file: string): void {
  const block = Buffer.alloc(FILLER_BYTES)
  for (let bytes = FILLER_BYTES; bytes >= 4_096; ) {
    try {
      writeFileSync(file, block.subarray(0, bytes), { flag: 'a' })
    } catch {
      // No room for so much: less may still fit.
      bytes = Math.floor(bytes / 2)
    }
  }
}

function run(file: string, args: string[]): void {
  const { status, stderr } = spawnSync(file, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: ${stderr}`)
}
