/**
 * Pages of the locks that may be listed. The core is told where to look, and each name that it finds is asked about here all the same; pages end as if
 * the other locks were not there. One that is not the last may be shorter than was asked for: a reply holds only so much.
 */
import type { LockView } from '../locks/model.ts'
import { ask, askerOf, type Call } from './call.ts'
import { type Deed, decide, denial, questionOf } from './permission.ts'
import { invalid } from './reply.ts'

/** Each costs the owner a look at all names; only who is decided about elsewhere ever needs more than two. */
export const LIST_LOOKS_MAX = 20

type Page = { prefix: string; after: string | null; limit: number }

export async function visibleLocks(call: Call, page: Page): Promise<{ locks: LockView[]; more: boolean }> {
  const { doors, caller } = call
  const whole = await decide(doors, caller, { action: 'lock.list', lock: page.prefix, isPrefix: true })
  if (whole.permitted) return await look(call, page, null)
  const only = doors.permissions.patterns(questionOf(doors, caller, { action: 'lock.list', lock: null }))
  const visible: LockView[] = []
  let { after } = page
  for (let looks = 0; looks < LIST_LOOKS_MAX; looks++) {
    const { locks, more } = await look(call, { ...page, after }, only)
    for (const lock of locks) if (await isListed(call, lock.lock)) visible.push(lock)
    // One more than the page says that there is another page.
    if (visible.length > page.limit) return { locks: visible.slice(0, page.limit), more: true }
    if (!more) return { locks: visible, more: false }
    // They are long, and no more of them fit into one reply.
    if (locks.length < page.limit && visible.length > 0) return { locks: visible, more: true }
    after = locks.at(-1)?.lock ?? after
  }
  const message = 'Too many locks lie between those that you may list: name a longer `prefix`.'
  throw invalid('parameter', { name: 'prefix', message })
}

/** @throws {Refused} when it is not known: what may be listed must not be missing */
async function isListed({ doors, caller, trace }: Call, lock: string): Promise<boolean> {
  const deed: Deed = { action: 'lock.list', lock }
  const decision = await decide(doors, caller, deed)
  if (decision.isUnknown) throw denial(doors, caller, { deed, decision, trace })
  return decision.permitted
}

function look(call: Call, page: Page, only: readonly string[] | null): Promise<{ locks: LockView[]; more: boolean }> {
  return ask(call, { ...askerOf(call), type: 'list', ...page, ...(only && { only }) }, 'locks')
}
