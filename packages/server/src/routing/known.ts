/**
 * What this version understands of what other servers ask. While a cluster is upgraded, newer servers ask older ones: what those have never heard of is
 * refused, where deciding it would be a guess and saying nothing would let whoever asked wait for ever.
 */
import { HoldfastError } from '@holdfast/protocol/errors'
import type { Command } from '../locks/model.ts'
import type { Asked } from './messages.ts'

// Records, so that the compiler says which one is missing.
const messages: Record<Asked['type'], true> = {
  ask: true,
  watch: true,
  history: true,
  listen: true,
  stop: true,
  told: true,
}

const commands: Record<Command['type'], true> = {
  open_session: true,
  renew: true,
  close_session: true,
  acquire: true,
  release: true,
  release_single: true,
  renew_single: true,
  cancel: true,
  abandon: true,
  transfer: true,
  write_value: true,
  configure: true,
  delete_lock: true,
  force_release: true,
  preempt: true,
  evict: true,
  freeze: true,
  thaw: true,
  expire_session: true,
  warn_hold: true,
  end_hold: true,
  end_delay: true,
  end_wait: true,
  forget_key: true,
  pump: true,
  show: true,
  list: true,
  queue: true,
  validate: true,
  read_value: true,
  show_session: true,
  list_freezes: true,
}

const knownMessages: ReadonlySet<string> = new Set(Object.keys(messages))
const knownCommands: ReadonlySet<string> = new Set(Object.keys(commands))

export function isKnown(asked: Asked): boolean {
  return knownMessages.has(asked.type) && (asked.type !== 'ask' || knownCommands.has(asked.command.type))
}

/** Not taken; but another server is asked only if the one that asks knows that to be of use. */
export function unknownHere(): HoldfastError {
  const what = 'The server that decides for this lock is of an older version, which does not know this.'
  return new HoldfastError('unavailable', `${what} Upgrade all servers of the cluster, then retry.`)
}
