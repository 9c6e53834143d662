/** Many that want one lock, and hand it to each other. */
import type { Holdfast } from '@holdfast/client'

/** Milliseconds of each hand-over: from before the release is sent until the next holder has been told. */
export async function convoy(
  client: Holdfast,
  { waiters, turns }: { waiters: number; turns: number },
): Promise<number[]> {
  const times: number[] = []
  let releasedAt = 0
  let left = turns
  await Promise.all(
    Array.from({ length: waiters }, async () => {
      while (left > 0) {
        const lock = await client.acquire('bench/convoy')
        if (releasedAt > 0) times.push(performance.now() - releasedAt)
        left--
        releasedAt = performance.now()
        await lock.release()
      }
    }),
  )
  return times
}
