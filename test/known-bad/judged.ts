/**
 * What clients said and what the resource took, counted. Nobody's library is asked: a grant is in force from when its client was told until the client gives it
 * up, learns that it has ended, or another client is told that it has the lock.
 */
import type { Said } from './client.ts'

export type Attempt = { client: string; grant: number; token: number; isAccepted: boolean }

export type Counts = {
  grants: number
  writes: number
  /** Moments at which one client was about to act on the lock while another had been given it since and had it still. */
  believers: number
  /** Writes that the resource took from an earlier holder after one of a later holder. */
  stale: number
  /** Such writes that it refused. */
  refused: number
  failed: number
}

type Grant = { client: string; grant: number; token: number; fromMs: number; untilMs: number; order: number }

export function count(said: readonly Said[], attempts: readonly Attempt[]): Counts {
  const grants = grantsOf(said)
  const byName = new Map(grants.map(one => [`${one.client}/${one.grant}`, one]))
  const believers = said.filter(one => {
    const own = byName.get(`${one.client}/${one.grant}`)
    if (one.say !== 'checked' || !own) return false
    return grants.some(
      other =>
        other.client !== one.client && other.order > own.order && other.fromMs < one.at && one.at < other.untilMs,
    )
  }).length
  let [latest, stale, refused] = [-1, 0, 0]
  for (const { client, grant, isAccepted } of attempts) {
    const order = byName.get(`${client}/${grant}`)?.order ?? -1
    if (order < latest) {
      if (isAccepted) stale++
      else refused++
    } else if (isAccepted) latest = order
  }
  const failed = said.filter(({ say }) => say === 'failed').length
  return { grants: grants.length, writes: attempts.length, believers, stale, refused, failed }
}

/** In the order in which they were given: by token where there is one, else by when their clients were told. */
function grantsOf(said: readonly Said[]): Grant[] {
  const grants: Grant[] = []
  for (const one of said) {
    if (one.say === 'granted') {
      const { client, grant, token, at } = one
      grants.push({ client, grant, token, fromMs: at, untilMs: Number.POSITIVE_INFINITY, order: 0 })
    } else if (one.say === 'ended') {
      const own = grants.find(({ client, grant }) => client === one.client && grant === one.grant)
      if (own) own.untilMs = one.at
    }
  }
  grants.sort((one, other) => one.token - other.token || one.fromMs - other.fromMs)
  for (const [order, grant] of grants.entries()) grant.order = order
  return grants
}
