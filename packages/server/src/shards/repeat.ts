/** Which commands may be asked a second time when the outcome of the first is not known. */
import type { Command } from '../locks/model.ts'

/** Those that change nothing, those that come to the same when done twice, and those that the shard remembers by a request id (SAFETY P15). */
export function isRepeatable(command: Command): boolean {
  switch (command.type) {
    case 'open_session':
      // The first, if there is one, is nobody's, and ends by itself.
      return true
    case 'acquire':
      return command.request !== null || (typeof command.session === 'object' && command.session.key !== null)
    case 'release':
    case 'cancel':
    case 'transfer':
    case 'write_value':
      return command.request !== null
    case 'renew':
    case 'renew_single':
    case 'show':
    case 'list':
    case 'queue':
    case 'validate':
    case 'read_value':
    case 'show_session':
    case 'list_freezes':
    case 'freeze':
    case 'evict':
      return true
    case 'close_session':
    case 'release_single':
    case 'abandon':
    case 'configure':
    case 'delete_lock':
    case 'force_release':
    case 'preempt':
    case 'thaw':
    case 'expire_session':
    case 'warn_hold':
    case 'end_hold':
    case 'end_delay':
    case 'end_wait':
    case 'forget_key':
    case 'pump':
      return false
  }
}
