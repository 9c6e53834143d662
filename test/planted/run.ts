/**
 * Runs one test, as it is or with a bug planted, and says what came of it.
 *
 * A bug counts as found when it was planted (the hook left its mark) and the test ended with a failed assertion, of its own or of the judge.
 * A crash, a file that cannot be loaded, a test that does not end: none of these shows that the test looks at what the bug breaks.
 */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { nodeFlags } from '../../scripts/node.mjs'
import { temporaryFolder } from '../harness/process.ts'
import type { Bug, TestOf } from './bug.ts'
import type { Ended } from './reporter.ts'

export type Outcome = {
  /**
   * `green`: tests ran and passed; `assertion`: one ended with a failed assertion; `error`: it ended otherwise; `late`: it did not end;
   * `skipped`: it says that it cannot be run on this machine.
   */
  end: 'green' | 'assertion' | 'error' | 'late' | 'skipped'
  /** Of what it failed with, or why there is nothing to judge. */
  message: string
  /** From the start of the process to the first failure, or to its end. */
  ms: number
  /** The bug was there to be found. */
  isPlanted: boolean
}

export const root = fileURLToPath(new URL('../..', import.meta.url))
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const hook = pathToFileURL(here('./plant.ts')).href

/** No test of the table takes longer on two busy cores. */
const TIME_MS_MAX = 60_000
/** What the assertions of tests, and those of the judge of histories, throw. */
const assertions = new Set(['AssertionError', 'Violation'])

export async function run(test: TestOf, bug: Bug | null): Promise<Outcome> {
  const folder = temporaryFolder('planted')
  const marker = join(folder.path, 'marker')
  try {
    const outcome = await attempt(test, bug && { PLANTED_BUG: bug.id, PLANTED_MARKER: marker })
    return { ...outcome, isPlanted: isThere(marker) }
  } finally {
    folder.remove()
  }
}

async function attempt(test: TestOf, planting: NodeJS.ProcessEnv | null): Promise<Omit<Outcome, 'isPlanted'>> {
  const startedMs = performance.now()
  const child = spawn(process.execPath, flagsOf(test), {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that no server that it has started outlives it.
    detached: true,
    env: {
      ...process.env,
      ...test.env,
      NODE_TEST_CONTEXT: undefined,
      ...(planting && { ...planting, NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --import ${hook}` }),
    },
  })
  const closed = new Promise<number | null>(resolve => child.once('close', resolve))
  let isLate = false
  const stop = () => endGroup(child.pid)
  const timer = setTimeout(() => {
    isLate = true
    stop()
  }, TIME_MS_MAX)
  let said = ''
  child.stderr.on('data', (data: Buffer) => {
    said = (said + data.toString()).slice(-4_000)
  })
  let passed = 0
  let skipped: string | null = null
  let failed: Ended | null = null
  let endedMs = 0
  for await (const line of createInterface({ input: child.stdout })) {
    const ended = endedOf(line)
    if (!ended) continue
    if (ended.isSkipped) skipped = ended.message
    else if (ended.errors.length === 0) passed++
    if (ended.errors.length === 0 || (failed && isAssertion(failed))) continue
    failed = ended
    endedMs = performance.now()
    if (isAssertion(ended)) stop()
  }
  const code = await closed
  clearTimeout(timer)
  // What it has started and left behind.
  stop()
  const ms = Math.round((endedMs || performance.now()) - startedMs)
  if (failed) return { end: isAssertion(failed) ? 'assertion' : 'error', message: failed.message, ms }
  if (isLate) return { end: 'late', message: `it did not end in ${TIME_MS_MAX / 1_000} s`, ms }
  if (passed === 0 && skipped !== null) return { end: 'skipped', message: skipped, ms }
  if (passed === 0) return { end: 'error', message: `no test of this name was run: ${said}`, ms }
  return code === 0 ? { end: 'green', message: '', ms } : { end: 'error', message: `ended with ${code}: ${said}`, ms }
}

function flagsOf({ file, name }: TestOf): string[] {
  const pattern = `/^${name.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')}/`
  return [
    ...nodeFlags,
    `--test-reporter=${here('./reporter.ts')}`,
    '--test-force-exit',
    `--test-name-pattern=${pattern}`,
    join(root, file),
  ]
}

function endedOf(line: string): Ended | null {
  try {
    const ended: unknown = JSON.parse(line)
    // Only the reporter writes objects with these fields.
    return typeof ended === 'object' && ended !== null && 'errors' in ended ? (ended as Ended) : null
  } catch {
    // The test itself may write what it likes.
    return null
  }
}

function isAssertion(ended: Ended): boolean {
  return ended.errors.some(name => assertions.has(name))
}

function isThere(file: string): boolean {
  try {
    return readFileSync(file, 'utf8') !== ''
  } catch {
    // The hook makes it when it has planted the bug.
    return false
  }
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    // It has ended, and all that it started.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
