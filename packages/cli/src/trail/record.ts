/** A record of the trail, as `GET /v2/audit` gives it: on the wire and in exports in snake_case. */
export type WireRecord = {
  id: string
  at: string
  action: string
  outcome: 'success' | 'denied' | 'failure'
  subject: string
  affected?: string
  session?: string
  holder?: string
  from?: string
  target: string
  instance?: string
  token?: number
  reason?: string
  status?: number
  request_id?: string
  link: string
}
