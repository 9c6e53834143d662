/** One link to each of the other servers, whatever they are made of. */
import type { Clock } from '../clock.ts'
import { Link } from './link.ts'
import type { Peers } from './peer.ts'
import type { Dial } from './transport.ts'

export type Member = { server: string; address: string }

export class Links implements Peers {
  readonly #clock: Clock
  readonly #dialTo: (member: Member) => Dial
  readonly #links = new Map<string, Link>()

  constructor(clock: Clock, dialTo: (member: Member) => Dial) {
    this.#clock = clock
    this.#dialTo = dialTo
  }

  to({ server, address }: Member): Link {
    let link = this.#links.get(server)
    if (!link) {
      link = new Link({ clock: this.#clock, dial: this.#dialTo({ server, address }) })
      this.#links.set(server, link)
    }
    return link
  }

  keep(servers: ReadonlySet<string>): void {
    for (const [server, link] of this.#links) {
      if (servers.has(server)) continue
      this.#links.delete(server)
      link.cut()
    }
  }

  reach(members: Iterable<Member>): void {
    for (const member of members) this.to(member).keep()
  }

  unreachable(): string[] {
    return [...this.#links].filter(([, link]) => link.isUnreachable).map(([server]) => server)
  }

  tell(): void {
    for (const link of this.#links.values()) link.tell()
  }

  close(): void {
    for (const link of this.#links.values()) link.cut()
    this.#links.clear()
  }
}
