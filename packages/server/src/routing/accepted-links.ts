/**
 * The connections of other servers: of each start of a server the newest only.
 *
 * Who makes another connection has given up the one before it, and asks again for what it had asked over that, as far as a repeat does no harm. But what lies
 * in the older one, because this process was stopped or the network was cut, has not been read yet. Read after the repeat it would be a request of its own
 * wherever the repeat is not remembered: what was refused would be granted to somebody who no longer asks, a freeze would come back after the thaw.
 * So nothing is heard from an older connection once there is a newer one. What was read before it is met by the repeat, as ever.
 */
import type { Clock } from '../clock.ts'
import { Accepted } from './accepted.ts'
import type { Peer } from './peer.ts'
import type { Transport } from './transport.ts'

export type AcceptedLink = Pick<Accepted, 'heard' | 'closed'>

export class AcceptedLinks {
  readonly #options: { local: Peer; told: () => void; clock: Clock }
  readonly #newest = new Map<string, { accepted: Accepted; transport: Transport }>()

  constructor(options: { local: Peer; told: () => void; clock: Clock }) {
    this.#options = options
  }

  /** `server`: the start of a server that has proved to be at the other end. */
  accept(server: string, transport: Transport): AcceptedLink {
    const older = this.#newest.get(server)
    older?.accepted.closed()
    older?.transport.close()
    const accepted = new Accepted({ ...this.#options, transport })
    this.#newest.set(server, { accepted, transport })
    return {
      heard: text => accepted.heard(text),
      closed: () => {
        if (this.#newest.get(server)?.accepted === accepted) this.#newest.delete(server)
        accepted.closed()
      },
    }
  }
}
