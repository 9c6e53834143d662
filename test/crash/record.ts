/** Runs the load under strace and reads what came of it. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { deserialize } from 'node:v8'
import type { Write } from '../../packages/server/src/engine/engine.ts'
import { nodeFlags } from '../../scripts/node.mjs'
import { chanceOf } from '../simulator/chance.ts'
import { imageAt } from './disk.ts'
import type { Event, Recording } from './recording.ts'
import { calls, eventsOf, isNoMatter, type Known, nothingKnown, PAGE_BYTES, SHOWN_BYTES_MAX } from './trace.ts'

const program = fileURLToPath(new URL('./work.ts', import.meta.url))

export type LoadOptions = {
  /** A folder for the data and the traces, empty. */
  folder: string
  seed: number
  /** Of each life of the process that has any. */
  commits: number
  env?: NodeJS.ProcessEnv
}

/** How often the process is killed and started again. One life in between ends as it has opened the store. */
const RESTARTS = 3
const SHORT_LIFE = 2
/** A load takes seconds. */
const LIFE_MS_MAX = 60_000

/** Why nothing can be recorded on this machine; null if it can. */
export function whyNot(): string | null {
  if (process.platform !== 'linux') return 'writes are recorded by strace, which is a program of Linux'
  if (spawnSync('strace', ['-V']).error) return 'strace is not installed'
  const tried = spawnSync('strace', ['-f', '-qq', '--seccomp-bpf', '-e', 'trace=fsync', 'true'], { encoding: 'utf8' })
  return tried.status === 0 ? null : `strace does not work here: ${tried.stderr.trim().split('\n')[0]}`
}

export async function record({ folder: given, seed, commits, env = {} }: LoadOptions): Promise<Recording> {
  let events: Event[] = []
  const folder = realpathSync(given)
  const data = join(folder, 'data')
  const known = nothingKnown(data)
  const commitsFile = join(folder, 'commits')
  for (let life = 0; life <= RESTARTS; life++) {
    const traced = join(folder, `trace.${life}`)
    const isShort = life === SHORT_LIFE
    await trace({ traced, data, commitsFile, seed: seed + life, commits: isShort ? 0 : commits, env })
    for (const event of eventsOf(readFileSync(traced, 'utf8'), known, { isEndLost: isShort })) events.push(event)
    events = settled(events, known)
  }
  return {
    events,
    commits: commitsIn(commitsFile),
    readers: readFileSync(join(data, 'lock.mdb')),
    restarts: RESTARTS,
  }
}

/**
 * What the process was writing when it was killed is there or not, page by page: the files say what the next life has found. Then all that was
 * recorded must be what they hold. @throws when it is not: then something has changed them that was not seen.
 */
function settled(events: readonly Event[], known: Known): Event[] {
  const files = new Map(
    [...known.files].map(([path, file]) => [file, readFileSync(path)]), // each by a name that it has
  )
  const left = events.flatMap(event => {
    if (event.type === 'sized' && known.begun.has(event.call))
      throw new Error('killed while a file was given its length')
    if (event.type !== 'written' || !known.begun.has(event.call)) return [event]
    const pages: Event[] = []
    for (let from = 0; from < event.bytes.length; from += PAGE_BYTES) {
      const bytes = event.bytes.subarray(from, from + PAGE_BYTES)
      const offset = event.offset + from
      if (
        files
          .get(event.file)
          ?.subarray(offset, offset + bytes.length)
          .equals(bytes)
      )
        pages.push({ ...event, offset, bytes })
    }
    return pages
  })
  // A sync of the next life is one of them too.
  for (const [call, file] of known.begun) known.done.set(call, file)
  known.begun.clear()
  const image = imageAt({ events: left }, { cut: left.length, kind: 'prefix', chance: chanceOf(0, ''), isDeaf: false })
  for (const name of readdirSync(known.folder))
    if (
      !isNoMatter(name) &&
      !name.startsWith('new-') &&
      !image.get(name)?.equals(readFileSync(join(known.folder, name)))
    )
      throw new Error(`the recording has holes: ${name} is not what was seen to be written`)
  return left
}

type Life = { traced: string; data: string; commitsFile: string; seed: number; commits: number; env: NodeJS.ProcessEnv }

async function trace({ traced, data, commitsFile, seed, commits, env }: Life): Promise<void> {
  const shown = ['-f', '-qq', '-y', '-xx', '-s', `${SHOWN_BYTES_MAX}`, '-e', 'signal=none']
  const watched = ['--seccomp-bpf', '-e', `trace=${calls.join(',')}`, '-o', traced]
  const command = [process.execPath, ...nodeFlags, program, data, commitsFile, `${seed}`, `${commits}`]
  const child = spawn('strace', [...shown, ...watched, ...command], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env },
  })
  let complaint = ''
  child.stderr.on('data', chunk => {
    complaint = (complaint + chunk).slice(-4_000)
  })
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    // What is traced ends with it, for nothing else holds it up: the group is its own.
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  }, LIFE_MS_MAX)
  const [code, signal] = await once(child, 'close')
  clearTimeout(timer)
  if (isLate) throw new Error(`the load had not ended after ${LIFE_MS_MAX / 1_000} s: ${complaint}`)
  // strace ends as what it traced has ended.
  if (signal !== 'SIGKILL') throw new Error(`the load ended with ${code ?? signal}: ${complaint}`)
}

/** In order, the place in the list being the revision that each has made. */
function commitsIn(file: string): Write[][] {
  const bytes = readFileSync(file)
  const commits: Write[][] = [[], []]
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at)
    // What `work.ts` has written.
    const record = deserialize(bytes.subarray(at + 4, at + 4 + length)) as { opened: number } | { writes: Write[] }
    // What the former life has handed over and the store has not taken did not happen.
    if ('opened' in record) commits.length = record.opened + 1
    else commits.push(record.writes)
    at += 4 + length
  }
  return commits
}
