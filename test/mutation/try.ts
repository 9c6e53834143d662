/** Has lanes try mutants, and ends those that do not come back. */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { nodeFlags } from '../../scripts/node.mjs'
import type { Order, Result } from './lane.ts'
import type { Mutant } from './mutants.ts'
import type { Round } from './rooms.ts'

export const root = fileURLToPath(new URL('../..', import.meta.url))
const program = fileURLToPath(new URL('./lane.ts', import.meta.url))

export type Fate = 'killed' | 'late' | 'survived' | 'not loaded'

/** Each leaves a copy of the sources in memory. */
const MUTANTS_PER_PROCESS = 60

export class Lane {
  readonly #rounds: readonly Round[]
  #child: ChildProcess | null = null
  #tried = 0
  #number = 0

  constructor(rounds: readonly Round[]) {
    this.#rounds = rounds
  }

  /** Rounds in their order, until one of them notices. `null`: the tests as they are. */
  async fateOf(mutant: Mutant | null): Promise<{ fate: Fate; by: string }> {
    let isSeen = false
    for (const round of this.#rounds) {
      const result = await this.#try(mutant, round)
      if (result === 'late') return { fate: 'late', by: '' }
      if (result === 'gone') return { fate: 'killed', by: 'the process ended' }
      if (result.isNoticed) return { fate: 'killed', by: result.by }
      isSeen ||= result.isSeen
    }
    return { fate: mutant && !isSeen ? 'not loaded' : 'survived', by: '' }
  }

  stop(): void {
    this.#child?.kill('SIGKILL')
    this.#child = null
  }

  async #try(mutant: Mutant | null, round: Round): Promise<Result | 'late' | 'gone'> {
    if (this.#tried++ % MUTANTS_PER_PROCESS === 0) this.stop()
    this.#child ??= await begun(round)
    const child = this.#child
    const order: Order = { number: ++this.#number, mutant, tests: round.tests }
    const result = await new Promise<Result | 'late' | 'gone'>(resolve => {
      const timer = setTimeout(() => resolve('late'), round.msMax)
      const settle = (what: Result | 'gone') => {
        clearTimeout(timer)
        resolve(what)
      }
      child.removeAllListeners('message')
      child.once('exit', () => settle('gone'))
      child.on('message', message => {
        const heard = message as Result // what `lane.ts` sends
        if (heard.number === order.number) settle(heard)
      })
      child.send(order)
    })
    if (typeof result === 'string') this.stop()
    return result
  }
}

async function begun(round: Round): Promise<ChildProcess> {
  const child = fork(program, [], {
    execArgv: nodeFlags,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: { ...process.env, ...round.env, NODE_TEST_CONTEXT: undefined },
  })
  // Each mutant listens for its end.
  child.setMaxListeners(0)
  // One that runs in circles would not hear that its parent has gone.
  const onExit = () => child.kill('SIGKILL')
  process.once('exit', onExit)
  child.once('exit', () => process.removeListener('exit', onExit))
  await new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve())
    child.once('exit', code => reject(new Error(`a lane ended with ${code} before it began`)))
  })
  return child
}
