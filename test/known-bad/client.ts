/**
 * A client of some lock service, in a process of its own, so that it can be stopped in the middle of its work: takes the lock, checks that it
 * has it as far as the service's own library lets it know, thinks, and writes to what the lock protects; again and again. Says all that it does, with
 * the time of the machine's monotonic clock.
 */
import { connect as dial, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Held, type SystemName, takers } from './takers.ts'

export type Said = {
  at: number
  client: string
  /** Of this client, from 1. */
  grant: number
} & (
  | { say: 'granted'; token: number }
  /** It is about to act, and asked whether it may. */
  | { say: 'checked' }
  /** It has learnt that it holds the lock no more, or is giving it up. */
  | { say: 'ended'; isOwnWill: boolean }
  | { say: 'wrote'; isAccepted: boolean }
  | { say: 'failed'; message: string }
)
type Saying = Said extends infer One ? (One extends Said ? Omit<One, 'at' | 'client' | 'grant'> : never) : never

const [, , system = '', url = '', resourcePort = '', client = ''] = process.argv
const WRITES = 5
/** From the check to the write: what work takes. */
const THINK_MS = 40
const PAUSE_MS = 10
const AGAIN_MS = 100
const LOCK = 'protected'

let grant = 0
const say = (what: Saying) => process.send?.({ at: Number(process.hrtime.bigint()) / 1e6, client, grant, ...what })
process.on('disconnect', () => process.exit(0))

// One of the five, as whoever started this process sees to.
const take = await takers[system as SystemName](url)
const write = writer(dial(Number(resourcePort), '127.0.0.1'))
for (;;) {
  try {
    const held = await take(LOCK)
    grant++
    say({ say: 'granted', token: held.token })
    await work(held)
  } catch (error) {
    say({ say: 'failed', message: error instanceof Error ? error.message : String(error) })
    await sleep(AGAIN_MS)
  }
  await sleep(PAUSE_MS)
}

async function work(held: Held): Promise<void> {
  for (let count = 0; count < WRITES; count++) {
    if (!held.isBelieved()) return void say({ say: 'ended', isOwnWill: false })
    say({ say: 'checked' })
    await sleep(THINK_MS)
    say({ say: 'wrote', isAccepted: await write(held.token) })
  }
  say({ say: 'ended', isOwnWill: true })
  await held.release()
}

function writer(socket: Socket): (token: number) => Promise<boolean> {
  const answers = createInterface({ input: socket })[Symbol.asyncIterator]()
  return async token => {
    socket.write(`${LOCK} ${token} ${client}/${grant}\n`)
    return (await answers.next()).value === '1'
  }
}
