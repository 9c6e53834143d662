/** Why a connection is closed, for programs: WebSocket close codes (RFC 6455 and the IANA registry). */
export const closeCodes = {
  normal: 1000,
  goingAway: 1001,
  notText: 1003,
  malformed: 1007,
  policy: 1008,
  /** Ours: what let the client in does so no more. The reason is one of `Ended`. */
  ended: 4401,
  tooSlow: 1013,
} as const
