/** What the router asks of another server, and of this one on behalf of others. */
import type { Command } from '../locks/model.ts'
import type { Asking, History, HistoryOptions, SessionPush, Submitted, WatchFilter, WatchSink } from '../shards/port.ts'

/**
 * One server's shards, from here or from afar. Whatever it does not decide for now it refuses with `NotTaken`; `ended` of a watch means that the
 * shard has moved.
 */
export interface Peer {
  submit(instance: string, command: Command, asking: Asking): Submitted
  watch(instance: string, filter: WatchFilter, sink: WatchSink): { stop(): void }
  history(instance: string, options: HistoryOptions): Promise<History>
  listen(instance: string, session: string, push: (push: SessionPush) => void): { stop(): void }
}

/** How other servers are reached. */
export interface Peers {
  /** The same link for the same server; made when first asked for. */
  to(member: { server: string; address: string }): Peer
  /** These are alive: links to others are cut, and all that waits there is told so. */
  keep(servers: ReadonlySet<string>): void
  /** Keeps a connection to each of these standing, whether there is something to ask or not. */
  reach(members: Iterable<{ server: string; address: string }>): void
  /** Those of them that have been out of reach for `COMPLAINT_MS`, or at first for `FIRST_COMPLAINT_MS`. */
  unreachable(): string[]
  /** A hint to all that records have changed. */
  tell(): void
  close(): void
}
