/**
 * How much of what users wrote an instance keeps, in bytes: values, metadata, labels and configurations. Names and our own bookkeeping are not
 * counted: there are as many of them as of locks, sessions and waiters, which have limits of their own.
 *
 * A waiter counts as much as what it waits for will: so a hand-over never takes an instance past its limit.
 */
import type { Config, Grant, Labels, Metadata, Session, Value, Waiter } from './model.ts'
import type { State } from './state.ts'

/** Of the fields of one request, `claims` times over. */
export function storedByRequest(
  request: { labels: Labels | null; metadata: Metadata | null; value: string | null },
  claims: number,
): number {
  return claims * (textBytes(request.labels) + textBytes(request.metadata) + valueBytes(request.value))
}

export function storedByGrant({ labels, metadata }: Grant): number {
  return textBytes(labels) + textBytes(metadata)
}

export function storedByWaiter(waiter: Waiter): number {
  return storedByRequest(waiter, waiter.claims.length)
}

export function storedBySession({ labels }: Session): number {
  return textBytes(labels)
}

export function storedByConfig(config: Config | null): number {
  return config === null ? 0 : textBytes(config)
}

export function storedByValue(value: Value | null): number {
  return value === null ? 0 : valueBytes(value.value)
}

/** All of it, counted anew: what the running count must always be. */
export function recountStored(state: State): number {
  let bytes = 0
  for (const { grants, config, value } of state.locks.values()) {
    for (const grant of grants) bytes += storedByGrant(grant)
    bytes += storedByConfig(config) + storedByValue(value)
  }
  for (const waiter of state.tickets.values()) bytes += storedByWaiter(waiter)
  for (const { record } of state.sessions.values()) if (record) bytes += storedBySession(record)
  return bytes
}

/** Of the text that it is written as. Most records have none of it, and pay one comparison. */
function textBytes(fields: object | null): number {
  return fields === null ? 0 : Buffer.byteLength(JSON.stringify(fields))
}

function valueBytes(value: string | null): number {
  return value === null ? 0 : Buffer.byteLength(value)
}
