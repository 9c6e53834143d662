/** `holdfast why NAME`. */
import { type Freeze, hasCode, type LockView, type QueueView, type Rest } from '@holdfast/client'
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { whyText } from '../describe.ts'
import { printJson, printLine } from '../output.ts'
import { restOf } from '../rest.ts'

export function define(program: Command): void {
  const command = program
    .command('why')
    .summary('why is a lock not free: who holds it, who waits')
    .description(
      'Why is a lock not free: who holds it and since when, who waits in what order, what keeps it back. A lock that the key may not see looks free.',
    )
    .argument('<name>', 'the lock')
    .action(async (name: string, options: AccessOptions) => {
      const queue = await queueOf(restOf(options), name)
      if (options.json) printJson(queue)
      else printLine(whyText(queue))
    })
  withAccess(command)
}

/** A lock of which the service has nothing to tell is kept by a freeze, or free; or it is not ours to see, which looks the same. */
async function queueOf(rest: Rest, name: string): Promise<QueueView> {
  try {
    return await rest.queue(name)
  } catch (error) {
    if (!hasCode(error, 'not_found') || error.details.what !== 'lock') throw error
    const unused = { name, holders: [], waiters: 0 }
    const frozen = await freezeOf(rest, name)
    return { lock: frozen ? { ...unused, state: 'frozen', frozen } : { ...unused, state: 'free' }, waiters: [] }
  }
}

/** That which lasts longest, as the service has it for locks that are in use. */
async function freezeOf(rest: Rest, name: string): Promise<LockView['frozen']> {
  const freezes = (await freezesSeen(rest)).filter(({ prefix }) => name.startsWith(prefix))
  const [longest] = freezes.sort((one, other) => Date.parse(other.until) - Date.parse(one.until))
  return longest && { prefix: longest.prefix, until: longest.until, by: longest.by, reason: longest.reason }
}

async function freezesSeen(rest: Rest): Promise<Freeze[]> {
  try {
    return await rest.freezes()
  } catch (error) {
    // Who may not list what there is hears of no freeze before being refused.
    if (hasCode(error, 'forbidden')) return []
    throw error
  }
}
