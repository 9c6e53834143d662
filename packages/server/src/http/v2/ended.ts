/** The grants that an operator has ended or given notice. */
export function wireEnded(grants: { lock: string; token: number; holder: string }[]) {
  return { ended: grants.map(({ lock, token, holder }) => ({ name: lock, token, holder })) }
}
