/**
 * What an owner does before it gives a shard up in good order. Most of those who wait find their place again at the next owner, by their request id or
 * key. Who gave none cannot: the place would be nobody's, and be granted to nobody. So it is given up while there is somebody who can, and the same is
 * asked of the next owner, at the end of the line there.
 */
import type { Command } from '../locks/model.ts'
import type { Arrival, Callers } from './callers.ts'
import type { Asking } from './port.ts'

type Waiting = { name: string; callers: Callers }
type Submit = (instance: string, command: Command, asking: Asking) => Arrival

/** Resolves when none of them stands in line, or that could not be had. */
export async function moveOn(instances: Iterable<Waiting>, submit: Submit): Promise<void> {
  const left: Promise<void>[] = []
  for (const { name, callers } of instances)
    for (const arrival of callers.unnamed()) {
      if (!arrival.wait) continue
      const { ticket } = arrival.wait
      arrival.isMovingOn = true
      left.push(
        new Promise(resolve => {
          const done = () => resolve()
          submit(name, { type: 'abandon', ticket, by: 'service' }, { answer: done, fail: done })
        }),
      )
    }
  await Promise.all(left)
}
