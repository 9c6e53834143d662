/**
 * Why a server may end by itself, or call for a person, in a run whose faults are known: what the store did to it, and that others took it for dead. A
 * supervisor starts it again, and so would hide whatever else ends one: an assertion, a command that ends each server that decides it, a log that is broken.
 */
import { Violation } from '../checker/judge.ts'

/** Errors that the way to the store makes (store-way.ts): calls that were not answered, and what the plan has the store refuse. */
const ofTheStore = /^(commit|read): |^refused (by the fault plan|for want of room)$/
/** What is told of the room in it, without an error. */
const ofItsRoom = /^the store (is nearly full|has room again) \(\d+ % of its quota\)/

/** What a server makes of that, each with a name for the figures. */
const expected: readonly { name: string; error: RegExp }[] = [
  {
    name: 'declared dead',
    error: /^This server must stop: the member record of \S+ is not its own any more: it was declared dead$/,
  },
  { name: 'its first beat refused', error: /^the member record of this start could not be written$/ },
  { name: 'the store', error: ofTheStore },
]

/** What the figures call it. @throws Violation when it is nothing that the faults of a run explain */
export function endOf(server: string, { name, message, stack }: Error): string {
  const known = expected.find(({ error }) => error.test(message))
  if (!known) throw new Violation(`a server ends by itself: ${server}: ${name}: ${message}\n${stack}`)
  return `ended: ${known.name}`
}

/** The same of what it tells a person to look at. */
export function alarmOf(server: string, { what, error }: { what: string; error: unknown }): string {
  const cause = error instanceof Error ? error.message : String(error)
  if (!ofTheStore.test(cause) && !(error === null && ofItsRoom.test(what)))
    throw new Violation(`a server gives an alarm: ${server}: ${what}: ${cause}`)
  return `alarm: ${what.replace(/\d+/g, 'N')}`
}
