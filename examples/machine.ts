/**
 * Machine control: a program moves an arm, step by step. An emergency stop must win over it: at once, but so that the arm is first brought
 * to rest, and so that nothing moves it after the stop has taken over. The stop asks for the lock with a higher priority and
 * `preempt: 'graceful'`; the program is told, halts, and lets go. If it did not, its grant would end after the grace all the same, and
 * the machine would refuse its token.
 *
 *   node scripts/run.mjs examples/machine.ts                   # the arm rests from the stop on
 *   node scripts/run.mjs examples/machine.ts --without-lock    # the arm is moved after the stop
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Holdfast } from '@holdfast/client'

const STEPS = 40
const STEP_MS = 10

const isWithoutLock = process.argv.includes('--without-lock')

/** The machine keeps a log, and the largest token that has commanded it. */
const machine = {
  log: [] as string[],
  token: 0,
  command(what: string, token: number) {
    if (token < this.token) return this.log.push(`refused ${what}`)
    this.token = token
    return this.log.push(what)
  },
}

async function program(holdfast: Holdfast, started: () => void): Promise<void> {
  if (isWithoutLock) return moves(new AbortController().signal, 0, started)
  await holdfast.using('machine/arm', async lock => {
    const stop = new AbortController()
    lock.on('preempting', ({ by, graceMs }) => {
      console.log(`${by} takes over; ${graceMs} ms to come to rest`)
      stop.abort()
    })
    // Whatever ends the lock ends the moves, too.
    await moves(AbortSignal.any([stop.signal, lock.signal]), lock.token, started)
    machine.command('halt', lock.token)
  })
}

async function moves(signal: AbortSignal, token: number, started: () => void): Promise<void> {
  for (let step = 0; step < STEPS && !signal.aborted; step++) {
    machine.command('move', token)
    if (step === 3) started()
    await sleep(STEP_MS)
  }
}

async function emergencyStop(holdfast: Holdfast): Promise<void> {
  if (isWithoutLock) machine.command('STOP', 0)
  else {
    const lock = await holdfast.acquire('machine/arm', { preempt: 'graceful', priority: 100 })
    machine.command('STOP', lock.token)
    // Held until somebody has looked: the program cannot start again meanwhile.
    await sleep(STEP_MS * 5)
    await lock.release()
  }
}

await using controller = connect({ name: 'program' })
await using button = connect({ name: 'emergency stop' })
const moving = Promise.withResolvers<void>()
const running = program(controller, moving.resolve)
await moving.promise
await emergencyStop(button)
await running
const afterStop = machine.log.slice(machine.log.indexOf('STOP') + 1).filter(entry => entry === 'move').length
console.log(
  JSON.stringify({ moves: machine.log.filter(entry => entry === 'move').length, afterStop, isRight: afterStop === 0 }),
)
process.exitCode = afterStop === 0 ? 0 : 1
