/** The door to chance. */
import { randomBytes } from 'node:crypto'

export interface Random {
  bytes(count: number): Uint8Array
}

/** Bytes drawn from the system at once: asking it for sixteen at a time costs more than all else that a request id costs. */
const POOL_BYTES = 4_096

function pooledRandom(): Random {
  let pool = Buffer.alloc(0)
  return {
    bytes(count) {
      if (count > POOL_BYTES) return randomBytes(count)
      if (pool.length < count) pool = randomBytes(POOL_BYTES)
      const drawn = Buffer.from(pool.subarray(0, count))
      // What has been given out may be a key: it stays nowhere else.
      pool.fill(0, 0, count)
      pool = pool.subarray(count)
      return drawn
    },
  }
}

export const systemRandom: Random = pooledRandom()

/** `count` bytes as lower-case hexadecimal. */
export function randomHex(random: Random, count: number): string {
  return Buffer.from(random.bytes(count)).toString('hex')
}
