/** Many held locks, made quickly: sets of locks through raw sockets, a thousand to a session. */
import { Wire } from '../harness/wire.ts'

const PER_SESSION = 1_000
const PER_SET = 50
const TTL_MS = 3_600_000
/** Sessions filled at a time. */
const FILLING = 8

/** Holds `count` locks named `held/<from> …`; returns the connections, which need not stay open. */
export async function hold(url: string, from: number, count: number): Promise<void> {
  const starts = Array.from({ length: Math.ceil(count / PER_SESSION) }, (_, index) => from + index * PER_SESSION)
  const fill = async (start: number) => {
    const wire = await Wire.connect(url, { ttlMs: TTL_MS })
    const size = Math.min(PER_SESSION, from + count - start)
    const sets = Array.from({ length: Math.ceil(size / PER_SET) }, (_, set) => set * PER_SET)
    await Promise.all(
      sets.map(async offset => {
        const locks = Array.from({ length: Math.min(PER_SET, size - offset) }, (_, index) => ({
          name: `held/${start + offset + index}`,
        }))
        const reply = await wire.ask({ type: 'acquire_all', locks, wait_ms: 0 })
        if (reply.error) throw new Error(JSON.stringify(reply.error))
      }),
    )
    // As a client does: what has been answered need not be remembered.
    await wire.ask({ type: 'renew', settled: wire.nextId })
    wire.close()
  }
  let next = 0
  await Promise.all(
    Array.from({ length: FILLING }, async () => {
      for (let start = starts[next++]; start !== undefined; start = starts[next++]) await fill(start)
    }),
  )
}
