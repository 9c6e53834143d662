/**
 * A command in a process group of its own.
 *
 * A lock must not be given up while anything that was started under it still runs. The direct child is not enough: what it
 * started outlives it, and a signal to the child alone does not reach it. So the child leads a group, signals go to the whole group, and the
 * group is gone only when nobody is left in it. What leaves the group on its own (a daemon) is out of reach, and its own affair.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { sleep } from './clock.ts'
import { CommandFailure, exitCodes, SIGNAL_BASE } from './exit.ts'

/** How often the group is looked for after the child has ended. */
const LOOK_MS = 20

export class ProcessGroup {
  /** The child's exit code as a shell would give it. */
  readonly ended: Promise<number>
  readonly #child: ChildProcess
  readonly #id: number

  private constructor(child: ChildProcess, id: number) {
    this.#child = child
    this.#id = id
    this.ended = new Promise(resolve => {
      this.#child.once('exit', (code, signal) =>
        resolve(signal ? SIGNAL_BASE + constants.signals[signal] : (code ?? exitCodes.internal)),
      )
    })
  }

  /** Starts the command with this process's own input and output. Throws as a shell would exit: 127 not found, 126 not executable. */
  static async start(command: readonly string[], environment: Record<string, string>): Promise<ProcessGroup> {
    const [file = '', ...args] = command
    const child = spawn(file, args, { stdio: 'inherit', detached: true, env: { ...process.env, ...environment } })
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', error => reject(startFailure(file, error)))
    })
    return new ProcessGroup(child, child.pid ?? 0)
  }

  /** To everybody in the group; false when nobody is left. */
  signal(signal: NodeJS.Signals): boolean {
    try {
      return process.kill(-this.#id, signal)
    } catch (error) {
      if (isNoSuchProcess(error)) return false
      throw error
    }
  }

  /** Whether anybody in the group still runs. The dead that nobody has reaped yet do not. */
  get isAlive(): boolean {
    try {
      process.kill(-this.#id, 0)
    } catch (error) {
      if (isNoSuchProcess(error)) return false
      throw error
    }
    return process.platform !== 'linux' || hasLivingMember(this.#id)
  }

  /** Resolves when the child has been reaped and nobody is left in its group. */
  async gone(): Promise<void> {
    await this.ended
    while (this.isAlive) await sleep(LOOK_MS)
  }
}

function startFailure(file: string, error: Error): CommandFailure {
  const code = 'code' in error ? error.code : ''
  if (code === 'ENOENT') return new CommandFailure(exitCodes.notFound, `${file}: command not found`)
  return new CommandFailure(exitCodes.notExecutable, `${file}: cannot be started (${error.message})`)
}

function isNoSuchProcess(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ESRCH'
}

/** A container without an init reaps nobody: zombies would count for ever. */
function hasLivingMember(group: number): boolean {
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      // `pid (name) state ppid pgrp …`; the name may contain anything, so what counts begins after the last parenthesis.
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8')
      const [state, , pgrp] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      if (Number(pgrp) === group && state !== 'Z' && state !== 'X') return true
    } catch {
      // Ended between the listing and the look.
    }
  }
  return false
}
