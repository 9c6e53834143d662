/**
 * Which line of work asks. The server looks for deadlocks between *tasks* of sessions: a process that runs a hundred jobs over
 * one connection is a hundred tasks, and one job waiting for another is no cycle. Every acquire begins a task of its own, unless it is made
 * inside a `using` routine, whose task it then continues, or names a lock that it is made `within`.
 *
 * A routine may do several things at once, or start what outlives it: those wait for one another without being stuck. So a routine's task is continued by one
 * thing at a time; what is asked for beside that is a task of its own. What is taken for a deadlock then is one.
 */

/** What has been begun in a line of work: an acquire, and what it was granted. */
export type Step = { readonly isOver: boolean }

/** One routine of `using`. */
export class Line {
  readonly task: string
  #step: Step | null = null

  constructor(task: string) {
    this.task = task
  }

  /** What was begun in it last is still under way: who asks now does so beside that. */
  get isBusy(): boolean {
    return this.#step !== null && !this.#step.isOver
  }

  begin(step: Step): void {
    this.#step = step
  }
}

export interface Tasks {
  /** Of the routine that is running, if the platform can tell. */
  current(): Line | undefined
  /** Runs the routine as part of the line. */
  run<Result>(line: Line, routine: () => Result): Result
}

type Storage = { getStore(): Line | undefined; run<Result>(store: Line, routine: () => Result): Result }
type Hooks = { AsyncLocalStorage: new () => Storage }

/** Node, Deno and Bun can follow a routine through its promises; elsewhere only `within` connects tasks. */
export function platformTasks(): Tasks {
  // The same global object; browsers have no process.
  const { process } = globalThis as { process?: { getBuiltinModule?(name: string): unknown } }
  const hooks = process?.getBuiltinModule?.('node:async_hooks') as Hooks | undefined
  if (!hooks) return { current: () => undefined, run: (_line, routine) => routine() }
  const storage = new hooks.AsyncLocalStorage()
  return { current: () => storage.getStore(), run: (line, routine) => storage.run(line, routine) }
}
