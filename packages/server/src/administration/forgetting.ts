/**
 * What an instance that goes for good has in the shards: its grants are ended, what was configured is deleted. The service does it by ordinary commands, for in an
 * instance that is closed nobody else may; but holds are ended in the name of whoever asked for it, as the trail says.
 */
import type { Asker, Command, Reply } from '../locks/model.ts'
import type { Shards } from '../shards/port.ts'
import type { By } from './administration.ts'

const PAGE_LIMIT = 500
const SERVICE = 'service'

/** Who waits for several locks leaves all of their lines when the first of them is free: what is looked at before that has to be looked at again. */
const LOOKS_MAX = 20

/** Resolves when no lock and no freeze is left. Rejects with what a command failed with, or when something stays; then it may be asked again. */
export async function forgetInstance(
  shards: Pick<Shards, 'submit'>,
  instance: string,
  { subject: by, from, trace }: By,
): Promise<void> {
  const asker: Asker = { by, ...(from !== '' && { from }), ...(trace !== '' && { trace }) }
  const ask = (command: Command) => answerTo(shards, instance, command)
  const frozen = await ask({ type: 'list_freezes', by: SERVICE })
  if (!frozen.ok || frozen.type !== 'freezes') throw new Error(`the freezes of ${instance} could not be listed`)
  for (const { prefix } of frozen.freezes) await ask({ ...asker, type: 'thaw', prefix })
  for (let look = 0; look < LOOKS_MAX; look++) if ((await forgetLocks(instance, { ask, asker })) === 0) return
  throw new Error(`locks of ${instance} are left`)
}

type Asking = { asker: Asker; ask(command: Command): Promise<Answer> }

/** Returns how many there were. */
async function forgetLocks(instance: string, { ask, asker }: Asking): Promise<number> {
  let seen = 0
  for (let after: string | null = null; ; ) {
    const page: Answer = await ask({ type: 'list', by: SERVICE, prefix: '', after, limit: PAGE_LIMIT })
    if (!page.ok || page.type !== 'locks') throw new Error(`the locks of ${instance} could not be listed`)
    for (const { lock } of page.locks) {
      const reason = 'The instance has been deleted.'
      // Also where nobody holds it: of what somebody held a delay may be left, and others may stand in line.
      await ask({ ...asker, type: 'force_release', lock, token: null, reason, now: true })
      await ask({ type: 'delete_lock', by: SERVICE, lock, ifVersion: null })
    }
    seen += page.locks.length
    const last = page.locks.at(-1)
    if (!page.more || !last) return seen
    after = last.lock
  }
}

type Answer = Exclude<Reply, { ok: 'queued' }>

function answerTo(shards: Pick<Shards, 'submit'>, instance: string, command: Command): Promise<Answer> {
  return new Promise((resolve, reject) => {
    shards.submit(instance, command, { answer: resolve, fail: reject })
  })
}
