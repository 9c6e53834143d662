/** What `holdfast doctor` says of one thing that it has looked at. */
export type Finding = {
  level: 'ok' | 'notice' | 'problem'
  what: string
  /** Empty when all is well. */
  change: string
}

export const ok = (what: string): Finding => ({ level: 'ok', what, change: '' })
export const notice = (what: string, change: string): Finding => ({ level: 'notice', what, change })
export const problem = (what: string, change: string): Finding => ({ level: 'problem', what, change })
