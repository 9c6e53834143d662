/** What an instance that goes for good has in the shards: its grants are ended, what was configured is deleted. The service does it by ordinary commands. */
import type { Command, Reply } from '../locks/model.ts'
import type { Shards } from '../shards/port.ts'

const PAGE_LIMIT = 500
const by = 'service'

/** Resolves when no lock is left. Rejects with what a command failed with; then it may be asked again. */
export async function forgetInstance(shards: Pick<Shards, 'submit'>, instance: string): Promise<void> {
  const ask = (command: Command) => answerTo(shards, instance, command)
  for (let after: string | null = null; ; ) {
    const page: Answer = await ask({ type: 'list', by, prefix: '', after, limit: PAGE_LIMIT })
    if (!page.ok || page.type !== 'locks') throw new Error(`the locks of ${instance} could not be listed`)
    for (const { lock, grants } of page.locks) {
      if (grants.length > 0) {
        const reason = 'The instance has been deleted.'
        await ask({ type: 'force_release', by, lock, token: null, reason, now: true })
      }
      await ask({ type: 'delete_lock', by, lock, ifVersion: null })
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
