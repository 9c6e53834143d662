/** How large a world of owners is: whose clocks go how, how often time passes, and what may go wrong how often. */

/** Rates of the clocks: of the owner, of the other server, of the holder. */
export const clocks = {
  'all clocks agree': [1, 1, 1],
  'the owner’s clock is slow': [0.9, 1.1, 1],
  'the holder’s clock is slow': [1.1, 1.1, 0.9],
} as const satisfies Record<string, readonly [number, number, number]>

export type OwnersWorld = {
  clocks: readonly (keyof typeof clocks)[]
  /** How often time passes. */
  grains: number
  /** How often each of these may happen. */
  stops: number
  suspensions: number
  kills: number
  slow: number
  losses: number
  handOvers: number
  renewals: number
  /** For how long the holder renews, if not for as long as its session was opened for. */
  renewsForMs?: number
  /** Requests and answers of the holder are under way for any time; otherwise they take none. */
  isSlowNet: boolean
  /** Whom the faults befall. The others beat as time passes. */
  unsteady: readonly ('a' | 'b')[]
  /** The first owner looks at the other too, and may take over from it. */
  isMutual: boolean
  /** Somebody else asks for the lock when it is free. */
  isAwaited: boolean
}

export type Budget = Pick<
  OwnersWorld,
  'grains' | 'stops' | 'suspensions' | 'kills' | 'slow' | 'losses' | 'handOvers' | 'renewals'
>

/** What may befall a server that nothing befalls. */
export const none = { stops: 0, suspensions: 0, kills: 0, slow: 0, losses: 0, handOvers: 0 }
