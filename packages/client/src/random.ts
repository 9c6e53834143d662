/** The library's door to chance: it only spreads reconnects, so nothing secret is drawn here. */
export interface Random {
  /** At least 0, below 1. */
  fraction(): number
}

export const systemRandom: Random = { fraction: () => Math.random() }
