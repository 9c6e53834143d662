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

/** A command of nothing, as of a variable that is not set: found out before a lock is taken for it. */
export function refuseEmpty([file]: readonly string[]): void {
  if (file) return
  throw new CommandFailure(exitCodes.usage, 'The first word of the command is empty: it must name a program to run.')
}

export class ProcessGroup {
  /** The child's exit code as a shell would give it. */
  readonly ended: Promise<number>
  readonly #child: ChildProcess
  readonly #id: number
  readonly #warn: (message: string) => void
  #hasWarned = false

  private constructor(child: ChildProcess, id: number, warn: (message: string) => void) {
    this.#child = child
    this.#id = id
    this.#warn = warn
    this.ended = new Promise(resolve => {
      this.#child.once('exit', (code, signal) =>
        resolve(signal ? SIGNAL_BASE + constants.signals[signal] : (code ?? exitCodes.internal)),
      )
    })
  }

  /**
   * Starts the command with this process's own input and output. Throws as a shell would exit: 127 not found, 126 not executable. However this
   * process ends, an uncaught error included, the group ends with it until it has been let go: nobody would stop it in time any more.
   * `warn` hears, once, that the group is out of reach.
   */
  static async start(
    command: readonly string[],
    environment: Record<string, string>,
    warn: (message: string) => void,
  ): Promise<ProcessGroup> {
    const [file = '', ...args] = command
    const child = spawn(file, args, { stdio: 'inherit', detached: true, env: { ...process.env, ...environment } })
    // Without an id there is no process, and `error` follows; 0 would be our own group.
    const group = child.pid === undefined ? null : new ProcessGroup(child, child.pid, warn)
    if (group) process.on('exit', group.#kill)
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', error => reject(startFailure(file, error)))
    }).catch((error: unknown) => {
      group?.letGo()
      throw error
    })
    if (!group) throw new CommandFailure(exitCodes.internal, `${file}: was started without a process id`)
    return group
  }

  readonly #kill = () => {
    this.signal('SIGKILL')
  }

  /** It is gone: its id may soon be somebody else's. */
  letGo(): void {
    process.off('exit', this.#kill)
  }

  /** To everybody in the group; false when nobody is left, or nobody may be signalled (they run as another user). */
  signal(signal: NodeJS.Signals): boolean {
    try {
      return process.kill(-this.#id, signal)
    } catch (error) {
      if (hasErrno(error, 'EPERM')) this.#forbidden(signal)
      else if (!hasErrno(error, 'ESRCH')) throw error
      return false
    }
  }

  #forbidden(signal: NodeJS.Signals): void {
    if (this.#hasWarned) return
    this.#hasWarned = true
    this.#warn(`the command cannot be sent ${signal}: what it has started runs as another user, and is waited for`)
  }

  /** Whether anybody in the group still runs. The dead that nobody has reaped yet do not. */
  get isAlive(): boolean {
    let isForbidden = false
    try {
      process.kill(-this.#id, 0)
    } catch (error) {
      if (hasErrno(error, 'ESRCH')) return false
      if (!hasErrno(error, 'EPERM')) throw error
      isForbidden = true
    }
    if (process.platform !== 'linux') return true
    const states = statesOf(this.#id)
    // Of other users nothing may be shown: somebody is there, or the signal would not have been forbidden.
    return states.some(state => state !== 'Z' && state !== 'X') || (isForbidden && states.length === 0)
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

function hasErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

/** Of each member that is shown. A container without an init reaps nobody: zombies would count for ever. */
function statesOf(group: number): string[] {
  const states: string[] = []
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      // `pid (name) state ppid pgrp …`; the name may contain anything, so what counts begins after the last parenthesis.
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8')
      const [state = '', , pgrp] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      if (Number(pgrp) === group) states.push(state)
    } catch {
      // Ended between the listing and the look.
    }
  }
  return states
}
