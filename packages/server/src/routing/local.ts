/** This server's own shards as a peer: for its router, and for those of others. */
import type { Clock } from '../clock.ts'
import { NotTaken } from '../shards/callers.ts'
import type { Host } from '../shards/host.ts'
import { shardOf } from '../shards/router.ts'
import type { Peer } from './peer.ts'

export function localPeer({ host, shards, clock }: { host: Host; shards: number; clock: Clock }): Peer {
  const servingOf = (instance: string) => host.serving(shardOf(instance, shards))
  return {
    submit(instance, command, asking) {
      const serving = servingOf(instance)
      if (serving) return serving.shard.submit(instance, command, asking)
      clock.afterPoll(() => asking.fail(new NotTaken()))
      return { detach: () => undefined }
    },
    watch(instance, filter, sink) {
      const serving = servingOf(instance)
      // Replaced, and has not heard of it: another has written on. Who is still the owner knows that the log was taken back, and says so by a reset.
      const isReplaced = serving?.feed.isBehind(filter.after) && !host.isSureOfItself
      if (serving && !isReplaced) return serving.feed.watch(instance, filter, sink)
      clock.afterPoll(() => sink.ended())
      return { stop: () => undefined }
    },
    async history(instance, options) {
      const serving = servingOf(instance)
      if (!serving) throw new NotTaken()
      return serving.feed.history(instance, options)
    },
    listen: (instance, session, push) => host.listen(instance, session, push),
  }
}
