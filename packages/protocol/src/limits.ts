/**
 * Every limit that a caller can meet, in one place: name, unit, and why it is what it is.
 * One command must fit one batch of the log (1 MiB on etcd), so the counts and sizes below are chosen together:
 * the worst command ends one session with all it holds, or grants one set of locks.
 */

/** Lock names, in bytes of UTF-8: long enough for a path, short enough for a key. */
export const LOCK_NAME_BYTES_MAX = 256
/** A request's body, REST: a set of locks with metadata fits several times over. */
export const BODY_BYTES_MAX = 256 * 1024
/** One WebSocket frame from a client: 512 requests with metadata each. */
export const FRAME_BYTES_MAX = 1024 * 1024
/** Messages in one frame: bounds how long one parse holds the loop. */
export const FRAME_MESSAGES_MAX = 4096
/** What may lie unsent for one connection before it is cut off with a cursor to resume from. */
export const OUTBOX_BYTES_MAX = 4 * 1024 * 1024
/** Shortest TTL: below this a single garbage collection loses the lock. */
export const TTL_MS_MIN = 500
/** Longest TTL: a day; longer holds renew. */
export const TTL_MS_MAX = 24 * 60 * 60 * 1000
/** TTL of a library session unless asked otherwise. */
export const TTL_MS_DEFAULT = 15_000
/** TTL of a `/v1` grant unless the lock or the request says otherwise. */
export const V1_TTL_SECONDS_DEFAULT = 30
/** Longest wait over REST: proxies cut longer requests. */
export const REST_WAIT_MS_MAX = 60_000
/** Longest bounded wait over the WebSocket; `null` waits without limit. */
export const WAIT_MS_MAX = 30 * 24 * 60 * 60 * 1000
/** `max_hold_ms`, `lock_delay_ms`, `grace_ms`, `min_hold_ms`: none is longer. */
export const HOLD_MS_MAX = 30 * 24 * 60 * 60 * 1000
export const LOCK_DELAY_MS_MAX = 60 * 60 * 1000
export const GRACE_MS_MAX = 60 * 60 * 1000
/** What a holder gets to clean up in when nobody said how long. */
export const GRACE_MS_DEFAULT = 5_000
/** Priorities: 0 unless asked; negative is "when nobody else wants it". */
export const PRIORITY_MIN = -100
export const PRIORITY_MAX = 100
/** A waiter of priority p counts as if it had arrived p times this earlier: so nobody starves. */
export const AGEING_MS_PER_PRIORITY = 10_000
/** Permits of one semaphore. */
export const PERMITS_MAX = 1_000
/** Locks in one atomic set. */
export const SET_LOCKS_MAX = 64
/** Waiters on one lock unless its configuration says otherwise; the next is told `queue_full`. */
export const QUEUE_WAITERS_MAX = 10_000
/** Locks that one session can hold and wait for, all together, so that its end fits one batch. */
export const SESSION_LOCKS_MAX = 1_000
/** What granting one set may write, in bytes, estimated from above: fewer locks or permits if it carries very much. */
export const SET_BYTES_MAX = 1_000 * 1024
/** What the end of one session may write, in bytes, estimated from above: fewer locks if names are long, its holder's too, or if they are very many permits. */
export const SESSION_ENDING_BYTES_MAX = 800 * 1024
/** Remembered request ids of one session that the client has not settled. */
export const SESSION_REQUESTS_MAX = 10_000
/** A `/v1` idempotency key is remembered this long. */
export const IDEMPOTENCY_KEY_MS = 24 * 60 * 60 * 1000
/** Remembered idempotency keys of one instance. */
export const IDEMPOTENCY_KEYS_MAX = 100_000
export const REQUEST_ID_BYTES_MAX = 128
/** Sessions of one instance; a million locks held one by one through `/v1` must fit. */
export const SESSIONS_MAX = 2_000_000
/** Counted reentrancy of one grant. */
export const REENTRY_MAX = 1_000
/** A lock's value, in bytes of UTF-8: a pointer, a cursor, a small configuration; not a document store. */
export const VALUE_BYTES_MAX = 16 * 1024
/** `metadata` of a request, serialised. */
export const METADATA_BYTES_MAX = 2_048
export const LABELS_MAX = 16
export const LABEL_KEY_CHARS_MAX = 64
export const LABEL_VALUE_CHARS_MAX = 128
export const DESCRIPTION_CHARS_MAX = 256
export const REASON_CHARS_MAX = 256
export const HOLDER_CHARS_MAX = 128
/** Freezes in force in one instance: each acquire looks at all of them. */
export const FREEZES_MAX = 256
/** Rows of one page. */
export const PAGE_LIMIT_MAX = 1_000
export const PAGE_LIMIT_DEFAULT = 100
/** Open SSE and WebSocket watches of one instance. */
export const WATCHES_MAX = 10_000
/** Watches of one WebSocket. */
export const CONNECTION_WATCHES_MAX = 64
/** Requests in flight on one WebSocket, waits included. */
export const CONNECTION_REQUESTS_MAX = 20_000
/** Sockets of one server. */
export const CONNECTIONS_MAX = 50_000
/** Events kept in memory for watchers to resume from; older cursors get `reset`. */
export const FEED_EVENTS_MAX = 65_536
/** What these events may take in memory, about: as many of ordinary size fit; of those with the longest names and reasons fewer are kept. */
export const FEED_BYTES_MAX = 32 * 1024 * 1024
/** A token of an issuer: IBM's have some 1,500, those with many groups more; with all other headers a request has 16 KiB. */
export const TOKEN_CHARS_MAX = 8_192
/** `Authorization`, of REST and in a `hello`: the longest token as a bearer fits, as a password in base64 it does not. Whatever is longer is not worth hashing. */
export const AUTHORIZATION_CHARS_MAX = 8_448
/** Instances of one service. */
export const INSTANCES_MAX = 10_000
export const CAPACITY_UNITS_MAX = 1_000_000
/** Of one instance; those that are revoked or expired count until they are deleted. */
export const CREDENTIALS_MAX = 1_000
export const POLICIES_MAX = 1_000
/** Own roles of one instance. */
export const ROLES_MAX = 100
export const PLANS_MAX = 100
/** Ids of administrative records. */
export const RECORD_ID_CHARS_MAX = 64
export const RECORD_NAME_CHARS_MAX = 128
/** Who is meant by one policy, and on which locks. */
export const POLICY_SUBJECTS_MAX = 100
export const POLICY_PATTERNS_MAX = 100
export const POLICY_ROLES_MAX = 20
export const POLICY_SOURCES_MAX = 100
/** `key:`, `iam:`, `oidc:` and what the issuer calls it. */
export const SUBJECT_CHARS_MAX = 256
export const GROUPS_MAX = 20
/** What one record of the trail tells of what was written, in bytes of JSON: more than any one record of the registry has, so that nobody hides what he wrote by its size. */
export const AUDIT_CHANGED_BYTES_MAX = 96 * 1024
/** A deleted instance can be restored for a week. */
export const RECLAIM_MS = 7 * 24 * 60 * 60 * 1000
/** After a rotation the old key may go on for at most this long. */
export const OVERLAP_MS_MAX = 30 * 24 * 60 * 60 * 1000
/** Rows of one report of usage: a month by the hour. */
export const USAGE_ROWS_MAX = 1_000
