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
  /** Records of before this was told have none, nor have those by which nothing was written. */
  changed?: Changed[]
  link: string
}

/** What was written: as it is from then on, removed, or too large to be told. */
export type Changed = { kind: string; id: string; value?: object; is_removed?: true; is_left_out?: true }
