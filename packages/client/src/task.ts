/**
 * Which line of work asks. The server looks for deadlocks between *tasks* of sessions: a process that runs a hundred jobs over
 * one connection is a hundred tasks, and one job waiting for another is no cycle. Every acquire begins a task of its own, unless it is made
 * inside a `using` routine, whose task it then continues, or names a lock that it is made `within`.
 */

export interface Tasks {
  /** The task of the routine that is running, if the platform can tell. */
  current(): string | undefined
  /** Runs the routine as part of the task. */
  run<Result>(task: string, routine: () => Result): Result
}

type Storage = { getStore(): string | undefined; run<Result>(store: string, routine: () => Result): Result }
type Hooks = { AsyncLocalStorage: new () => Storage }

/** Node, Deno and Bun can follow a routine through its promises; elsewhere only `within` connects tasks. */
export function platformTasks(): Tasks {
  // The same global object; browsers have no process.
  const { process } = globalThis as { process?: { getBuiltinModule?(name: string): unknown } }
  const hooks = process?.getBuiltinModule?.('node:async_hooks') as Hooks | undefined
  if (!hooks) return { current: () => undefined, run: (_task, routine) => routine() }
  const storage = new hooks.AsyncLocalStorage()
  return { current: () => storage.getStore(), run: (task, routine) => storage.run(task, routine) }
}
