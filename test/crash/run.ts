/** Records a load, cuts the power at many points of it, and counts what came back. */
import { type ChildProcess, fork } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { nodeFlags } from '../../scripts/node.mjs'
import { Violation } from '../checker/judge.ts'
import { temporaryFolder } from '../harness/process.ts'
import type { Kind } from './disk.ts'
import { judgeLog } from './expected.ts'
import { type Choice, countSettling, type Point, pointsOf } from './points.ts'
import { type LoadOptions, record } from './record.ts'
import { type Recording, save } from './recording.ts'
import { ROOT } from './recover.ts'
import type { Looked } from './worker.ts'

/** A load that has been recorded and judged, in a folder that is to be removed. */
export type Load = {
  recording: Recording
  file: string
  batches: number
  remove(): void
}

export type Crashes = {
  points: number
  byKind: Record<Kind, number>
  /** Of the points: something was on its way from a journal to LMDB. */
  settling: number
  /** Different states that the store came back to. */
  revisions: number
  violations: Looked[]
}

export type CrashOptions = Choice & {
  workers?: number
  /** Of the processes that look. */
  env?: NodeJS.ProcessEnv
  /** Ends with the first violation. */
  isFirstEnough?: boolean
  looked?(looked: Looked, done: number, of: number): void
}

const worker = fileURLToPath(new URL('./worker.ts', import.meta.url))
/** A disk in memory, where there is one: the syncs of a recovery cost nothing there, and prove nothing here. */
const MEMORY_DISK = '/dev/shm'

export async function loaded(options: Omit<LoadOptions, 'folder'>): Promise<Load> {
  const folder = temporaryFolder('crash')
  try {
    const recording = await record({ ...options, folder: folder.path })
    const batches = judged(recording)
    const file = join(folder.path, 'recording')
    save(file, recording)
    return { recording, file, batches, remove: folder.remove }
  } catch (error) {
    folder.remove()
    throw error
  }
}

/** How many batches there are. What is wrong with them is why the load failed: it went on with what a start had made of the disk. */
function judged(recording: Recording): number {
  try {
    return Math.max(...recording.commits.map(commits => judgeLog(commits, ROOT)))
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    recording.failure ??= error.message
    return 0
  }
}

export async function crash({ recording, file }: Load, options: CrashOptions): Promise<Crashes> {
  const looked = await lookAll(pointsOf(recording, options), file, options)
  const { events, failure } = recording
  if (failure !== null)
    looked.push({
      point: { cut: events.length, kind: 'prefix', seed: options.seed, isDeaf: false },
      ...{ revision: null, violation: failure },
    })
  const countOf = (kind: Kind) => looked.filter(({ point }) => point.kind === kind).length
  return {
    points: looked.length,
    byKind: {
      prefix: countOf('prefix'),
      synced: countOf('synced'),
      pages: countOf('pages'),
      sectors: countOf('sectors'),
    },
    settling: countSettling(
      recording,
      looked.map(({ point }) => point),
    ),
    revisions: new Set(looked.map(({ revision }) => revision).filter(revision => revision !== null)).size,
    violations: looked.filter(({ violation }) => violation !== null),
  }
}

async function lookAll(points: readonly Point[], file: string, options: CrashOptions): Promise<Looked[]> {
  const { workers = availableParallelism(), looked: tell, isFirstEnough = false, env = {} } = options
  const left = [...points]
  const done: Looked[] = []
  let isOver = false
  const lane = async () => {
    const folder = mkdtempSync(join(existsSync(MEMORY_DISK) ? MEMORY_DISK : tmpdir(), 'holdfast-crash-'))
    let looker: Looker | null = null
    try {
      for (let point = left.shift(); point && !isOver; point = left.shift()) {
        looker ??= await Looker.start({ file, folder: join(folder, 'data'), env })
        const looked = await looker.look(point)
        if (looker.isGone) looker = null
        // It has died of the one before.
        if (looked === null) {
          left.unshift(point)
          continue
        }
        done.push(looked)
        if (isFirstEnough && looked.violation) isOver = true
        tell?.(looked, done.length, points.length)
      }
    } finally {
      looker?.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  }
  await Promise.all(Array.from({ length: workers }, lane))
  return done
}

type Looking = { file: string; folder: string; env: NodeJS.ProcessEnv }

class Looker {
  readonly #child: ChildProcess
  #resolve: (message: Looked | 'ready' | string) => void = () => undefined

  private constructor(child: ChildProcess) {
    this.#child = child
    child.on('message', message => this.#resolve(message as Looked | 'ready')) // what `worker.ts` sends
    child.on('exit', (code, signal) => this.#resolve(`the process ended with ${signal ?? code}`))
  }

  static async start({ file, folder, env }: Looking): Promise<Looker> {
    const child = fork(worker, [file, folder], {
      execArgv: nodeFlags,
      // What LMDB says of a file that makes no sense.
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      serialization: 'advanced',
      env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env },
    })
    const looker = new Looker(child)
    const first = await looker.#heard()
    if (first !== 'ready') throw new Error(`a worker did not begin: ${JSON.stringify(first)}`)
    return looker
  }

  get isGone(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  /** Null: it was gone before it could look. */
  async look(point: Point): Promise<Looked | null> {
    if (this.isGone) return null
    const heard = this.#heard()
    const isSent = await new Promise<boolean>(resolve => this.#child.send(point, error => resolve(error === null)))
    if (!isSent) return null
    const looked = await heard
    return typeof looked === 'string' ? { point, revision: null, violation: looked } : looked
  }

  stop(): void {
    if (this.#child.connected) this.#child.disconnect()
  }

  #heard(): Promise<Looked | string> {
    return new Promise(resolve => {
      this.#resolve = resolve
    })
  }
}
