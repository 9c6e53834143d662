/** Numbers drawn from a seed. Each part of a world has a stream of its own, so that taking a fault away changes nothing that it did not touch. */

export class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0
  }

  /** Mulberry32: at least 0, below 1. */
  fraction(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number, at least 0, below `count`. */
  below(count: number): number {
    return Math.floor(this.fraction() * count)
  }

  between(low: number, high: number): number {
    return low + this.fraction() * (high - low)
  }

  isLuckyAt(rate: number): boolean {
    return rate > 0 && this.fraction() < rate
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.below(256))
  }
}

/** A stream for the part of the world that has this name. */
export function chanceOf(seed: number, name: string): Chance {
  // FNV-1a over the name, begun with the seed.
  let digest = Math.imul(seed ^ 0x811c9dc5, 0x01000193)
  for (const byte of Buffer.from(name)) digest = Math.imul(digest ^ byte, 0x01000193)
  return new Chance(digest)
}
