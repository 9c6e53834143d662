type Ended = { grants: { lock: string; token: number; holder: string }[]; left?: number }

/** The grants that an operator has ended or given notice; `left`, of a server that says so: how many more are in turn. */
export function wireEnded({ grants, left = 0 }: Ended) {
  const ended = grants.map(({ lock, token, holder }) => ({ name: lock, token, holder }))
  return left > 0 ? { ended, left } : { ended }
}
