/** Locks, waiters and events in words, for terminals. */
import type { HolderView, LockEvent, LockView, QueueView, WaiterView } from '@holdfast/client'
import { wallMs } from './clock.ts'
import { formatDuration } from './duration.ts'
import { facts, labelsText, paint, type Style, safe, short, table } from './output.ts'

const stateStyles: Record<LockView['state'], Style> = { free: 'green', held: 'cyan', delayed: 'yellow', frozen: 'red' }

function stateText(lock: LockView): string {
  return paint(stateStyles[lock.state], lock.state)
}

export function age(at: string | undefined): string {
  return at === undefined ? '' : formatDuration(Math.max(0, wallMs() - Date.parse(at)))
}

/** How many hold it beside the first. */
export function othersOf({ holders, moreHolders = 0 }: LockView): number {
  return Math.max(0, holders.length - 1) + moreHolders
}

export function lockTable(locks: readonly LockView[]): string {
  const rows = locks.map(lock => {
    const [first] = lock.holders
    const others = othersOf(lock)
    const holder = first ? `${safe(first.holder)}${others > 0 ? ` +${others}` : ''}` : ''
    return [
      safe(lock.name),
      stateText(lock),
      first?.mode ?? '',
      holder,
      age(first?.acquiredAt),
      String(lock.waiters || ''),
      first ? String(first.token) : '',
    ]
  })
  return table(['NAME', 'STATE', 'MODE', 'HOLDER', 'FOR', 'WAITING', 'TOKEN'], rows)
}

export function lockText(lock: LockView): string {
  const blocks = [
    facts([
      ['name', paint('bold', safe(lock.name))],
      ['state', stateText(lock)],
      ['waiting', String(lock.waiters)],
      ['frozen', lock.frozen && `until ${lock.frozen.until} by ${safe(lock.frozen.by)}: ${safe(lock.frozen.reason)}`],
      [
        'delayed',
        lock.delayedMs === undefined ? undefined : `for ${formatDuration(lock.delayedMs)} more, after an unclean end`,
      ],
      ['typical hold', lock.typicalHoldMs === undefined ? undefined : formatDuration(lock.typicalHoldMs)],
      ['description', lock.description && safe(lock.description)],
      ['limit', said(lock.limit, String)],
      ['queue max', said(lock.queueMax, String)],
      ['preemption', lock.preemption],
      ['grace', said(lock.graceMs, formatDuration)],
      ['min hold', said(lock.minHoldMs, formatDuration)],
      ['max hold', said(lock.maxHoldMs, formatDuration)],
      ['lock delay', said(lock.lockDelayMs, formatDuration)],
      ['default ttl', said(lock.defaultTtlMs, formatDuration)],
      ['labels', labelsText(lock.labels)],
      ['value', lock.value && `${safe(lock.value.value)} ${paint('dim', `(token ${lock.value.token})`)}`],
    ]),
  ]
  if (lock.holders.length > 0) blocks.push(holdersTable(lock))
  if (lock.moreHolders) blocks.push(`and ${lock.moreHolders} more`)
  return blocks.join('\n\n')
}

function said(setting: number | undefined, inWords: (setting: number) => string): string | undefined {
  return setting === undefined ? undefined : inWords(setting)
}

function holdersTable(lock: LockView): string {
  const rows = lock.holders.map(holder => [
    safe(holder.holder),
    holder.mode,
    String(holder.token),
    age(holder.acquiredAt),
    holder.slots ? holder.slots.join(',') : '',
    countdown(ttlLeftMs(holder)),
    holder.endsInMs === undefined ? '' : countdown(holder.endsInMs),
    [
      saidBy(holder),
      holder.notice ? paint('yellow', `asked to go by ${safe(holder.notice.by)}: ${safe(holder.notice.reason)}`) : '',
    ]
      .filter(text => text !== '')
      .join(' '),
  ])
  return table(['HOLDER', 'MODE', 'TOKEN', 'FOR', 'SLOTS', 'UNLESS RENEWED ENDS IN', 'ENDS IN', ''], rows)
}

/** In seconds, and when that is by the clock of this machine: that of the service may be another. */
function countdown(ms: number): string {
  return `${Math.ceil(ms / 1_000)}s, at ${secondOf(wallMs() + ms)}`
}

function secondOf(ms: number): string {
  return new Date(Math.ceil(ms / 1_000) * 1_000).toISOString().replace('.000Z', 'Z')
}

/** How long its session lives if its holder is not heard of any more. */
function ttlLeftMs({ expiresAt }: HolderView): number {
  return Math.max(0, Date.parse(expiresAt) - wallMs())
}

/** Of what a holder says of itself: so many characters of its labels, and of its metadata. */
export const SAID_CHARS_MAX = 200

/** Labels and metadata: `holdfast run` says there which command it runs. */
function saidBy({ labels, metadata = {} }: HolderView): string {
  const words = Object.entries(metadata).map(([key, value]) => {
    return `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`
  })
  const labelled = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`)
  return [labelled, words]
    .map(said => short(said.join(' '), SAID_CHARS_MAX))
    .filter(said => said !== '')
    .join('  ')
}

export function waitersTable(waiters: readonly WaiterView[]): string {
  const rows = waiters.map(waiter => [
    String(waiter.position),
    safe(waiter.holder),
    waiter.mode,
    String(waiter.priority),
    formatDuration(waiter.waitedMs),
    labelsText(waiter.labels),
  ])
  return table(['#', 'WAITER', 'MODE', 'PRIORITY', 'WAITS FOR', ''], rows)
}

/** The answer in sentences. */
export function whyText({ lock, waiters }: QueueView): string {
  const name = paint('bold', safe(lock.name))
  const lines: string[] = []
  for (const holder of lock.holders) {
    const notice = holder.notice ? `, asked to go by ${safe(holder.notice.by)} (${safe(holder.notice.reason)})` : ''
    lines.push(
      `${name} is held by ${safe(holder.holder)} since ${age(holder.acquiredAt)} (${holder.mode}, token ${holder.token})${notice}.`,
    )
    const latest = holder.endsInMs === undefined ? '' : `; in any case in ${countdown(holder.endsInMs)}`
    lines.push(`  Unless it is renewed, it ends in ${countdown(ttlLeftMs(holder))}${latest}.`)
    const said = saidBy(holder)
    if (said !== '') lines.push(`  ${said}`)
  }
  if (lock.frozen)
    lines.push(`${name} is frozen until ${lock.frozen.until} by ${safe(lock.frozen.by)}: ${safe(lock.frozen.reason)}`)
  if (lock.delayedMs !== undefined)
    lines.push(`${name} is kept free for ${formatDuration(lock.delayedMs)} more, after an unclean end.`)
  if (lines.length === 0) lines.push(`${name} is free.`)
  if (lock.typicalHoldMs !== undefined) lines.push(`It is typically held for ${formatDuration(lock.typicalHoldMs)}.`)
  if (waiters.length === 0) lines.push('Nobody waits for it.')
  else lines.push(`${waiters.length === 1 ? 'One waits' : `${waiters.length} wait`} for it:`, waitersTable(waiters))
  return lines.join('\n')
}

export function eventLine(event: LockEvent): string {
  const details = [
    event.token === undefined ? '' : `token ${event.token}`,
    event.holder === undefined ? '' : safe(event.holder),
    event.by === undefined ? '' : `by ${safe(event.by)}`,
    event.reason === undefined ? '' : `(${safe(event.reason)})`,
    event.queueLength === undefined ? '' : `${event.queueLength} waiting`,
  ]
  const time = paint('dim', event.at)
  return [time, event.type.padEnd(13), safe(event.lock), ...details].filter(text => text !== '').join('  ')
}
