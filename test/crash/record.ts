/** Runs the load under strace and reads what came of it. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { deserialize } from 'node:v8'
import type { Write } from '../../packages/server/src/engine/engine.ts'
import { nodeFlags } from '../../scripts/node.mjs'
import type { Event, Recording } from './recording.ts'
import { powerCut, settled } from './restart.ts'
import { calls, eventsOf, nothingKnown, SHOWN_BYTES_MAX } from './trace.ts'

const program = fileURLToPath(new URL('./work.ts', import.meta.url))

export type LoadOptions = {
  /** A folder for the data and the traces, empty. */
  folder: string
  seed: number
  /** Of each life of the process that has any. */
  commits: number
  env?: NodeJS.ProcessEnv
}

/** How often the process is killed and started again. The first time the power is cut too, and one life in between ends as it has opened the store. */
const RESTARTS = 3
const LIFE_CUT = 0
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
  const known = nothingKnown(join(folder, 'data'))
  const commitsFile = join(folder, 'commits')
  let failure: string | null = null
  for (let life = 0; life <= RESTARTS && failure === null; life++) {
    const traced = join(folder, `trace.${life}`)
    const isShort = life === SHORT_LIFE
    const options = { traced, data: known.folder, commitsFile, seed: seed + life, commits: isShort ? 0 : commits, env }
    failure = await trace(options)
    if (life === 0 && failure !== null) throw new Error(failure)
    const begun = events.length
    for (const event of eventsOf(readFileSync(traced, 'utf8'), known, { isEndLost: isShort })) events.push(event)
    events = settled(events, known)
    if (life === LIFE_CUT) events = powerCut(events, { known, begun, seed })
  }
  return {
    events,
    commits: commitsIn(commitsFile),
    readers: readFileSync(join(known.folder, 'lock.mdb')),
    restarts: RESTARTS,
    failure: failure && `I16: the load could not go on after a kill or a power cut: ${failure}`,
  }
}

type Life = { traced: string; data: string; commitsFile: string; seed: number; commits: number; env: NodeJS.ProcessEnv }

/** Returns what it ended with, if that was not its own kill. */
async function trace({ traced, data, commitsFile, seed, commits, env }: Life): Promise<string | null> {
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
  return signal === 'SIGKILL' ? null : `the load ended with ${code ?? signal}: ${complaint}`
}

/** Until the power cut, and at the end; in order, the place in the list being the revision that each has made. */
function commitsIn(file: string): Write[][][] {
  const bytes = readFileSync(file)
  const commits: Write[][] = [[], []]
  let before: Write[][] = commits
  let lives = 0
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at)
    // What `work.ts` has written.
    const record = deserialize(bytes.subarray(at + 4, at + 4 + length)) as { opened: number } | { writes: Write[] }
    if ('opened' in record && lives++ === LIFE_CUT + 1) before = [...commits]
    // What the former life has handed over and the store has not taken did not happen.
    if ('opened' in record) commits.length = record.opened + 1
    else commits.push(record.writes)
    at += 4 + length
  }
  return [before, commits]
}
