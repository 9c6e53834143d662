/**
 * What an instance that goes for good has in the shards: its grants are ended, what was configured is deleted. The service does it by ordinary commands, for in an
 * instance that is closed nobody else may; but holds are ended in the name of whoever asked for it, as the trail says.
 */
import type { Asker, Command, Reply } from '../locks/model.ts'
import type { Shards } from '../shards/port.ts'
import type { By } from './administration.ts'

const PAGE_LIMIT = 500
const SERVICE = 'service'

/** Resolves when no lock is left. Rejects with what a command failed with; then it may be asked again. */
export async function forgetInstance(
  shards: Pick<Shards, 'submit'>,
  instance: string,
  { subject: by, from, trace }: By,
): Promise<void> {
  const asker: Asker = { by, ...(from !== '' && { from }), ...(trace !== '' && { trace }) }
  const ask = (command: Command) => answerTo(shards, instance, command)
  for (let after: string | null = null; ; ) {
    const page: Answer = await ask({ type: 'list', by: SERVICE, prefix: '', after, limit: PAGE_LIMIT })
    if (!page.ok || page.type !== 'locks') throw new Error(`the locks of ${instance} could not be listed`)
    for (const { lock, grants } of page.locks) {
      if (grants.length > 0) {
        const reason = 'The instance has been deleted.'
        await ask({ ...asker, type: 'force_release', lock, token: null, reason, now: true })
      }
      await ask({ type: 'delete_lock', by: SERVICE, lock, ifVersion: null })
    }
    const last = page.locks.at(-1)
    if (!page.more || !last) return
    after = last.lock
  }
}

type Answer = Exclude<Reply, { ok: 'queued' }>

function answerTo(shards: Pick<Shards, 'submit'>, instance: string, command: Command): Promise<Answer> {
  return new Promise((resolve, reject) => {
    shards.submit(instance, command, { answer: resolve, fail: reject })
  })
}
