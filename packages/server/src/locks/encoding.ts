/**
 * Entries as text in the log. Every entry is a JSON array `[type, record, …key, value, why]`; what is not there is left out at the end. The
 * two that make up nearly all of a log, grants and remembered requests, are written by position and by hand: half the bytes and half the time of
 * naming each field. A new field goes to the end of its list, so that older entries can still be read.
 */
import {
  type Delay,
  type Entry,
  type Grant,
  type GrantEntry,
  type Happening,
  type Memory,
  type Remembered,
  type RequestId,
  type Why,
  writtenIn,
} from './model.ts'

/** What was written cannot be read by this version, and is not guessed at. */
export class NewerFormat extends Error {
  override readonly name = 'NewerFormat'
  constructor(what: string) {
    super(`There is ${what}, which a newer version of Holdfast has written. Upgrade this server.`)
  }
}

const text = JSON.stringify

/** A text as JSON. Most need no escaping, and looking is quicker than asking. */
function quote(value: string): string {
  for (let index = 0; index < value.length; index++) {
    const unit = value.charCodeAt(index)
    // Control characters, the quotation mark, the backslash; and surrogates, for one that stands alone is escaped.
    if (unit < 0x20 || unit === 0x22 || unit === 0x5c || (unit >= 0xd800 && unit <= 0xdfff)) return text(value)
  }
  return `"${value}"`
}

function id(request: RequestId | null): string {
  return typeof request === 'number' ? `${request}` : text(request)
}

/** The usual ones by hand, in the order of their fields; nothing is cut off, for that would copy what has been put together so far. */
function whyText(why: Why): string {
  if (why.trace !== undefined || why.cycle !== undefined) return text(why)
  let all = ''
  if (why.by !== undefined) all = `{"by":${quote(why.by)}`
  if (why.reason !== undefined) all += `${all === '' ? '{' : ','}"reason":${quote(why.reason)}`
  if (why.holder !== undefined) all += `${all === '' ? '{' : ','}"holder":${quote(why.holder)}`
  if (why.session !== undefined) all += `${all === '' ? '{' : ','}"session":${quote(why.session)}`
  if (why.who !== undefined) all += `${all === '' ? '{' : ','}"who":${quote(why.who)}`
  if (why.from !== undefined) all += `${all === '' ? '{' : ','}"from":${quote(why.from)}`
  if (why.change !== undefined) all += `${all === '' ? '{' : ','}"change":${why.change}`
  if (why.queue !== undefined) all += `${all === '' ? '{' : ','}"queue":[${why.queue}]`
  return all === '' ? '{}' : `${all}}`
}

/** One entry as JSON. `gone` is not part of it. */
export function encodeEntry(entry: Entry): string {
  if (entry.record === 'grant') return grantEntry(entry)
  const head = `["${entry.type}",`
  const why = entry.why ? `,${whyText(entry.why)}]` : ']'
  switch (entry.record) {
    case 'request':
      return `${head}"request","${entry.session}",${id(entry.request)},${remembered(entry.value)}${why}`
    case 'settled':
      return `${head}"settled","${entry.session}",${entry.value}${why}`
    case 'wait':
      return `${head}"wait",${entry.ticket},${text(entry.locks)},${text(entry.value)}${why}`
    case 'session':
      return `${head}"session","${entry.session}",${text(entry.value)}${why}`
    case 'delay':
      return `${head}"delay",${quote(entry.lock)},${entry.token},${entry.value ? delay(entry.value) : 'null'}${why}`
    case 'config':
    case 'value':
      return `${head}"${entry.record}",${text(entry.lock)},${text(entry.value)}${why}`
    case 'freeze':
      return `${head}"freeze",${text(entry.prefix)},${text(entry.value)}${why}`
    case 'key':
      return `${head}"key",${text(entry.key)},${text(entry.value)}${why}`
  }
}

function grantEntry({ type, lock, token, value, why, remembers }: GrantEntry): string {
  const start = `["${type}","grant",${quote(lock)},${token},${value ? grant(value) : 'null'}`
  if (remembers) return `${start},${why ? whyText(why) : 'null'},${memory(remembers)}]`
  return why ? `${start},${whyText(why)}]` : `${start}]`
}

function grant(value: Grant): string {
  const { mode, session, holder, task, at, sinceMs, request } = value
  const start = `["${mode}","${session}",${quote(holder)},${quote(task)},${at},${sinceMs},${id(request)}`
  const { permits, slots, limit, priority, maxHoldMs, lockDelayMs, count, labels, metadata, notice } = value
  const isPlain =
    mode !== 'permits' &&
    priority === 0 &&
    maxHoldMs === 0 &&
    lockDelayMs === 0 &&
    count === 1 &&
    !labels &&
    !metadata &&
    !notice
  if (isPlain) return `${start}]`
  return `${start},${permits},${text(slots)},${limit},${priority},${maxHoldMs},${lockDelayMs},${count},${text(labels)},${text(metadata)},${text(notice)}]`
}

function delay({ mode, session, reason, delayUntilMs, promiseUntilMs, change, permits, slots, limit }: Delay): string {
  const start = `["${mode}","${session}","${reason}",${delayUntilMs},${promiseUntilMs},${change}`
  return mode === 'permits' ? `${start},${permits},${text(slots)},${limit}]` : `${start}]`
}

/** Of a grant, all of it is in the grant. */
function memory({ session, request, did }: Memory): string {
  if (did.did === 'acquire') return '1'
  return `["${session}",${id(request)},${remembered(did)}]`
}

function decodeMemory(grant: Grant | null, memory: unknown): Memory {
  if (grant && grant.request !== null) {
    const { session, request, lock, token } = grant
    return { session, request, did: { did: 'acquire', grants: [{ lock, token }] } }
  }
  const [session, request, did] = memory as [string, RequestId, unknown]
  const decoded = decodeRemembered(did)
  if (!decoded) throw new NewerFormat('an entry that remembers something unknown')
  return { session, request, did: decoded }
}

function remembered(value: Remembered | null): string {
  if (value?.did === 'release') return `${value.left}`
  const only = value?.did === 'acquire' && value.grants.length === 1 ? value.grants[0] : undefined
  return only ? `[${quote(only.lock)},${only.token}]` : text(value)
}

/** What `JSON.parse` made of an entry's text. Written by this program alone, so its shape is taken as given once its name is known. */
export type Encoded = [Happening, Entry['record'], ...unknown[]]

export function decodeEntry(encoded: Encoded): Entry {
  const [type, record] = encoded
  // Positions are those that `encodeEntry` writes, and the log's hash chain says that it did.
  switch (record) {
    case 'grant': {
      const [, , lock, token, fields, why, memory] = encoded as EncodedGrant
      const value = fields && decodeGrant(lock, token, fields)
      const entry: GrantEntry = { type, record, lock, token, value }
      if (why) entry.why = why
      if (memory) entry.remembers = decodeMemory(value, memory)
      return entry
    }
    case 'request': {
      const [, , session, request, value, why] = encoded as [Happening, 'request', string, RequestId, unknown, Why?]
      return { type, record, session, request, value: decodeRemembered(value), ...(why && { why }) }
    }
    case 'wait': {
      const [, , ticket, locks, value, why] = encoded as [
        Happening,
        'wait',
        number,
        string[],
        Extract<Entry, { record: 'wait' }>['value'],
        Why?,
      ]
      return { type, record, ticket, locks, value, ...(why && { why }) }
    }
    case 'delay': {
      const [, , lock, token, value, why] = encoded as [Happening, 'delay', string, number, unknown[] | null, Why?]
      return { type, record, lock, token, value: value && decodeDelay(lock, token, value), ...(why && { why }) }
    }
    default:
      return decodeNamed(encoded)
  }
}

/** Records whose key is one text. */
function decodeNamed(encoded: Encoded): Entry {
  const [type, record, key, value, why] = encoded as [Happening, Entry['record'], string, unknown, Why?]
  const rest = { type, value, ...(why && { why }) }
  switch (record) {
    case 'session':
    case 'settled':
      return { ...rest, record, session: key } as Entry
    case 'config':
    case 'value':
      return { ...rest, record, lock: key } as Entry
    case 'freeze':
      return { ...rest, record, prefix: key } as Entry
    case 'key':
      return { ...rest, record, key } as Entry
    default:
      throw new NewerFormat(`an entry of the unknown record ${String(record)}`)
  }
}

type EncodedGrant = [Happening, 'grant', string, number, unknown[] | null, (Why | null)?, unknown?]

type GrantFields = [
  Grant['mode'],
  string,
  string,
  string,
  number,
  number,
  RequestId | null,
  number?,
  (number[] | null)?,
  number?,
  number?,
  number?,
  number?,
  number?,
  Grant['labels']?,
  Grant['metadata']?,
  Grant['notice']?,
]

function decodeGrant(lock: string, token: number, fields: unknown[]): Grant {
  const [mode, session, holder, task, at, sinceMs, request, ...rest] = fields as GrantFields
  const [
    permits = 1,
    slots = null,
    limit = 0,
    priority = 0,
    maxHoldMs = 0,
    lockDelayMs = 0,
    count = 1,
    labels = null,
    metadata = null,
    notice = null,
  ] = rest
  return {
    lock,
    token,
    mode,
    permits,
    slots,
    limit,
    session,
    holder,
    task,
    priority,
    at,
    sinceMs,
    maxHoldMs,
    lockDelayMs,
    request,
    count,
    labels,
    metadata,
    notice,
    [writtenIn]: 0,
  }
}

type DelayFields = [
  Delay['mode'],
  string,
  Delay['reason'],
  number,
  number,
  number,
  number?,
  (number[] | null)?,
  number?,
]

function decodeDelay(lock: string, token: number, fields: unknown[]): Delay {
  const [mode, session, reason, delayUntilMs, promiseUntilMs, change, permits = 1, slots = null, limit = 0] =
    fields as DelayFields
  return { lock, token, mode, permits, slots, limit, session, reason, delayUntilMs, promiseUntilMs, change }
}

function decodeRemembered(value: unknown): Remembered | null {
  if (typeof value === 'number') return { did: 'release', left: value }
  if (Array.isArray(value)) return { did: 'acquire', grants: [{ lock: value[0] as string, token: value[1] as number }] }
  return value as Remembered | null
}
