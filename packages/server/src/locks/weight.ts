/**
 * How much of a batch a decision takes, about, and rather too much. One command has to fit one batch whatever those whom it concerns have said of themselves:
 * a grant may carry labels, metadata and a value, and one command may grant to many. What would be too much is left to a turn of its own.
 */
import { SET_BYTES_MAX } from '@holdfast/protocol/limits'
import type { Entry, Refusal, Waiter } from './model.ts'
import { liveSession, type State } from './state.ts'
import { storedByConfig, storedByGrant, storedByRequest, storedBySession } from './stored.ts'

/** Of one decision that could be several: half of what a batch holds. */
export const DECISION_BYTES_MAX = 512 * 1024
/** One more notice to a holder, its end by others, or the end of what stays of it, at the most: its session and its grant with all that they carry. */
export const TOLD_BYTES_MAX = 32 * 1024
/** Ids, numbers, who it was and why. */
const AROUND_BYTES = 1_024
/** The same of one grant of a set, whose holder, task and subject are counted apart; and of a claim in a wait. */
const GRANT_BYTES = 640
const CLAIM_BYTES = 128
/** Of a name, which has no control characters; and of a value, which may have nothing else. */
const NAME_UNIT_BYTES = 3
const VALUE_UNIT_BYTES = 6
const SLOT_BYTES = 4

/** What is granted in one step, and to whom. */
type Granted = Pick<Waiter, 'session' | 'holder' | 'task' | 'claims' | 'labels' | 'metadata' | 'value'>

/** Of what granting it writes, for all of its locks. */
export function weightOfGrants(
  state: State,
  { session, holder, task, claims, labels, metadata, value }: Granted,
): number {
  const own = storedByRequest({ labels, metadata, value: null }, 1) + weightOfValue(value)
  const who = textBytes(holder) + textBytes(task) + textBytes(liveSession(state, session)?.record.by ?? '')
  let bytes = AROUND_BYTES
  // In its grant, in the place that is left, and in what is remembered of its request.
  for (const { lock, permits } of claims) bytes += GRANT_BYTES + 3 * textBytes(lock) + permits * SLOT_BYTES + own + who
  return bytes
}

/** Why it can never be granted in one step; null if it can. */
export function beyondBatch(state: State, granted: Granted): Refusal | null {
  // A single grant always fits.
  if (granted.claims.length === 1 || weightOfGrants(state, granted) <= SET_BYTES_MAX) return null
  return { ok: false, code: 'quota_exceeded', limit: 'set_bytes', max: SET_BYTES_MAX }
}

export function weightOf(entry: Entry): number {
  switch (entry.record) {
    case 'grant': {
      const slots = entry.value?.slots?.length ?? 0
      const own = entry.value ? storedByGrant(entry.value) : 0
      return AROUND_BYTES + weightOfName(entry.lock) + slots * SLOT_BYTES + own
    }
    case 'wait':
      return entry.value
        ? weightOfWait(entry.value)
        : AROUND_BYTES + sum(entry.locks) + Buffer.byteLength(JSON.stringify(entry.why?.cycle ?? null))
    case 'session':
      return AROUND_BYTES + (entry.value ? storedBySession(entry.value) : 0)
    case 'delay':
      return AROUND_BYTES + weightOfName(entry.lock) + (entry.value?.slots?.length ?? 0) * SLOT_BYTES
    case 'config':
      return AROUND_BYTES + weightOfName(entry.lock) + storedByConfig(entry.value)
    case 'value':
      return AROUND_BYTES + weightOfName(entry.lock) + weightOfValue(entry.value?.value ?? null)
    case 'request':
      return AROUND_BYTES + (entry.value?.did === 'acquire' ? sum(entry.value.grants.map(({ lock }) => lock)) : 0)
    case 'freeze':
    case 'settled':
    case 'key':
      return AROUND_BYTES
  }
}

/** Once, whatever it waits for. */
function weightOfWait({ claims, labels, metadata, value }: Waiter): number {
  const bytes = AROUND_BYTES + weightOfValue(value) + storedByRequest({ labels, metadata, value: null }, 1)
  return claims.reduce((all, { lock }) => all + CLAIM_BYTES + 2 * weightOfName(lock), bytes)
}

function textBytes(text: string): number {
  return Buffer.byteLength(JSON.stringify(text))
}

function weightOfName(name: string): number {
  return name.length * NAME_UNIT_BYTES
}

function weightOfValue(value: string | null): number {
  return value === null ? 0 : value.length * VALUE_UNIT_BYTES + AROUND_BYTES
}

function sum(names: readonly string[]): number {
  return names.reduce((bytes, name) => bytes + weightOfName(name), 0)
}
