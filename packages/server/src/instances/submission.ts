/** What is submitted for metering, and what may become of it. */

export type UsageRecord = {
  resource_instance_id: string
  /** As the catalogue calls it, which is how the service knows it; in the spool as we do. */
  plan_id: string
  region: string
  start: number
  end: number
  measured_usage: { measure: string; quantity: number }[]
}

/** What has become of one record. `refused`: it will not be taken as it is. */
export type Outcome = { type: 'accepted' } | { type: 'unknown' } | { type: 'refused'; why: string }

/** Sends them; says of each, in order, what has become of it. Rejects with `RefusedWhole`, or otherwise when nothing is known. */
export type Submit = (records: readonly UsageRecord[]) => Promise<readonly Outcome[]>

/** The submission was not understood: none of its records was taken, for the sake of at least one of them. */
export class RefusedWhole extends Error {
  override readonly name = 'RefusedWhole'
}
