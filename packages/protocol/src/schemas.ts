/**
 * The parts that the wire's schemas are made of. Every string has a length and a pattern, every number a range, every
 * object says what it may contain: so whatever passes is small, well-formed text and safe integers.
 *
 * Lengths here count characters; where a limit counts bytes (names, values, metadata) the doors check that too.
 */
import { type Static, type TProperties, Type } from 'typebox'
import { errors, lostReasons } from './errors.ts'
import { eventTypes } from './events.ts'
import * as limits from './limits.ts'

/** Well-formed text without control characters. */
const LINE = '^[^\\u0000-\\u001f\\u007f-\\u009f\\ud800-\\udfff]*$'
/** Well-formed text; line breaks and tabs are welcome. */
const TEXT = '^[^\\ud800-\\udfff]*$'
/** Ids and secrets of ours: they fit a header and a URL as they are. */
const WORD = '^[A-Za-z0-9._~-]*$'
/** What these let through, for people who have sent something else. */
export const patternWords: Readonly<Record<string, string>> = {
  [LINE]: 'without control characters such as line breaks and tabs',
  [WORD]: 'out of letters, digits, `.`, `_`, `~` and `-`',
}

/** An object that refuses what it does not name. */
export function closed<Properties extends TProperties>(properties: Properties, options: { description?: string } = {}) {
  return Type.Object(properties, { additionalProperties: false, ...options })
}

export const optional = Type.Optional

function line(description: string, charsMin: number, charsMax: number) {
  return Type.String({ minLength: charsMin, maxLength: charsMax, pattern: LINE, description })
}

function word(description: string, charsMax: number) {
  return Type.String({ minLength: 1, maxLength: charsMax, pattern: WORD, description })
}

export function integer(minimum: number, maximum: number, description: string) {
  return Type.Integer({ minimum, maximum, description })
}

const NAME = `1 to ${limits.LOCK_NAME_BYTES_MAX} bytes of UTF-8 without control characters`
export const lockName = line(`Name of a lock: ${NAME}.`, 1, limits.LOCK_NAME_BYTES_MAX)
export const lockPrefix = line(
  `What the names start with: at most ${limits.LOCK_NAME_BYTES_MAX} bytes of UTF-8 without control characters.`,
  0,
  limits.LOCK_NAME_BYTES_MAX,
)
export const sessionId = word('Id of a session.', limits.REQUEST_ID_BYTES_MAX)
/** Lower-case letters, digits and `-`: a part of paths and headers as it is. */
export const instanceId = Type.String({
  minLength: 1,
  maxLength: limits.RECORD_ID_CHARS_MAX,
  pattern: '^[a-z0-9][a-z0-9-]*$',
  description: 'Id of an instance.',
})
export const requestId = line(
  'Chosen by the client; the same id never acts twice within its session.',
  1,
  limits.REQUEST_ID_BYTES_MAX,
)
export const lockId = word('The secret handle of a grant, from `acquire`.', 300)
export const cursor = word('A place in the order of events.', 200)
export const pageStart = word('Where the page begins, from `next.start` of the one before.', 1_000)
export const reason = line('Why, for the log and for whoever is affected.', 1, limits.REASON_CHARS_MAX)
export const description = line('For people.', 0, limits.DESCRIPTION_CHARS_MAX)
export const holder = line('For people: what the holder calls itself.', 1, limits.HOLDER_CHARS_MAX)
export const task = line(
  'The line of work within the session that asks; deadlocks are found between tasks.',
  0,
  limits.HOLDER_CHARS_MAX,
)
export const lockValue = Type.String({
  maxLength: limits.VALUE_BYTES_MAX,
  pattern: TEXT,
  description: `A small value: at most ${limits.VALUE_BYTES_MAX} bytes of UTF-8.`,
})

export const token = integer(1, Number.MAX_SAFE_INTEGER, 'Fencing token of a grant: it only grows.')
export const count = integer(0, Number.MAX_SAFE_INTEGER, 'A count.')
export const changes = integer(
  0,
  Number.MAX_SAFE_INTEGER,
  "How often something has happened to the session's grants that its client did not ask for.",
)
export const priority = integer(limits.PRIORITY_MIN, limits.PRIORITY_MAX, 'Higher goes first; 0 if left out.')
export const ttlMs = integer(
  limits.TTL_MS_MIN,
  limits.TTL_MS_MAX,
  `How long the session lives without a sign of life, in ms; ${limits.TTL_MS_DEFAULT} if left out.`,
)
export const durationMs = integer(0, Number.MAX_SAFE_INTEGER, 'A duration in ms.')
export const restWaitMs = integer(
  0,
  limits.REST_WAIT_MS_MAX,
  'How long to wait in line, in ms; 0, or left out, only tries.',
)
export const maxHoldMs = integer(
  1,
  limits.HOLD_MS_MAX,
  'The longest that a grant lasts, in ms, however alive its holder is; as the lock is configured if left out, and there without limit.',
)
export const lockDelayMs = integer(
  0,
  limits.LOCK_DELAY_MS_MAX,
  'For this long after an unclean end nobody gets the lock, in ms; as the lock is configured if left out, and there 0.',
)
export const graceMs = integer(
  0,
  limits.GRACE_MS_MAX,
  `How long a preempted holder has to clean up, in ms; as the lock is configured if left out, and there ${limits.GRACE_MS_DEFAULT}.`,
)
export const minHoldMs = integer(0, limits.HOLD_MS_MAX, 'Nobody is preempted before holding for this long, in ms.')
export const permits = integer(1, limits.PERMITS_MAX, 'How many permits of a semaphore; 1 if left out.')
export const permitLimit = integer(
  1,
  limits.PERMITS_MAX,
  'How many permits of a semaphore may be out at once. All who use the name say the same; left out, as it is configured or as those say that hold it.',
)
export const queueMax = integer(0, limits.QUEUE_WAITERS_MAX, 'The most that may wait in line.')
export const pageLimit = integer(1, limits.PAGE_LIMIT_MAX, 'Rows of a page.')
export const pageLimitQuery = Type.Integer({
  minimum: 1,
  maximum: limits.PAGE_LIMIT_MAX,
  default: limits.PAGE_LIMIT_DEFAULT,
  description: 'Rows of a page.',
})

export const mode = Type.Enum(['exclusive', 'shared', 'permits'], {
  description: 'How it is held; `exclusive` if left out.',
})
export const preemption = Type.Enum(['never', 'graceful', 'immediate'], {
  description: 'Whether a request of higher priority takes the lock from its holder, and whether with notice.',
})
export const lockState = Type.Enum(['free', 'held', 'delayed', 'frozen'])
export const lostReason = Type.Enum([...lostReasons])

const LABEL_KEY = `^[A-Za-z0-9][A-Za-z0-9._/-]{0,${limits.LABEL_KEY_CHARS_MAX - 1}}$`
export const labels = Type.Record(
  Type.String({ pattern: LABEL_KEY }),
  Type.String({ maxLength: limits.LABEL_VALUE_CHARS_MAX, pattern: LINE }),
  {
    maxProperties: limits.LABELS_MAX,
    additionalProperties: false,
    description: `At most ${limits.LABELS_MAX} short pairs of text that say what this is.`,
  },
)
/** As many taken away as there can be, and as many put in their place. */
export const labelsPatch = Type.Record(
  Type.String({ pattern: LABEL_KEY }),
  Type.Union([Type.String({ maxLength: limits.LABEL_VALUE_CHARS_MAX, pattern: LINE }), Type.Null()]),
  {
    maxProperties: 2 * limits.LABELS_MAX,
    additionalProperties: false,
    description: 'Merged into the labels that are there; null takes one away.',
  },
)
/** Opaque to the service; the doors check its size and that no key is `__proto__`. */
export const metadata = Type.Record(Type.String(), Type.Unknown(), {
  maxProperties: 64,
  description: `Anything that helps people, at most ${limits.METADATA_BYTES_MAX} bytes as JSON.`,
})

/** RFC 3339 in UTC. */
export const timestamp = Type.String({
  minLength: 20,
  maxLength: 30,
  pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,3})?Z$',
  format: 'date-time',
  description: 'RFC 3339 in UTC. For people: no decision rests on it.',
})

/** In requests. A leap second is none: the clocks of computers leave it out. */
export const givenTime = Type.String({
  minLength: 20,
  maxLength: 30,
  pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\\.[0-9]{1,3})?Z$',
  format: 'date-time',
  description: 'RFC 3339 in UTC, such as `2026-11-01T12:00:00Z`.',
})

export const noFields = closed({})
export const nameParams = closed({ name: lockName })
export type NameParams = Static<typeof nameParams>

export const notice = closed({ by: Type.String(), reason: Type.String() })

/** One grant, as every reply shows it. */
export const grant = closed(
  {
    name: lockName,
    token,
    mode,
    permits: optional(permits),
    slots: optional(Type.Array(count)),
    holder: Type.String(),
    acquired_at: timestamp,
    count: optional(count),
    labels: optional(labels),
    metadata: optional(metadata),
    ends_in_ms: optional(durationMs),
    notice: optional(notice),
    request_id: optional(Type.Union([Type.String(), Type.Integer()])),
  },
  { description: 'A grant. With several permits, permit i has the token `token + i`.' },
)

export const lockEvent = closed({
  id: cursor,
  at: timestamp,
  type: Type.Enum([...eventTypes]),
  lock: Type.String({ description: 'The lock; for `frozen` the prefix.' }),
  token: optional(count),
  holder: optional(Type.String()),
  by: optional(Type.String()),
  reason: optional(Type.String()),
  queue_length: optional(count),
})

export const pageLink = closed({ href: Type.String() })
export const nextLink = closed({ href: Type.String(), start: Type.String() })

/** One error. Fields beyond the first four are the details of its code. */
export const wireError = Type.Object({
  code: Type.Enum(Object.keys(errors)),
  message: Type.String(),
  more_info: optional(Type.String()),
  target: optional(closed({ type: Type.Enum(['field', 'parameter', 'header']), name: Type.String() })),
})
export const errorBody = closed({ trace: Type.String(), errors: Type.Array(wireError, { minItems: 1 }) })
