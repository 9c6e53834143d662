/** Of what somebody has spoilt: whatever can be read of it. Who checks the chain must come to its end, whatever lies there. */
import { decodeLink } from '../registry/store.ts'
import { batchText } from '../shards/batch.ts'

export function textOf(bytes: Uint8Array): string {
  try {
    return batchText(bytes)
  } catch {
    // It cannot be inflated: nothing that this program wrote.
    return ''
  }
}

export function linkOf(bytes: Uint8Array): { seq: number; prev: string } | null {
  try {
    return decodeLink(bytes)
  } catch {
    // As above.
    return null
  }
}
