/** Everything that one etcd member says has been written, from a revision on. The product does not read what is in an event; this does. */
import { credentials } from '@grpc/grpc-js'
import { systemClock } from '../../../packages/server/src/clock.ts'
import { Channel, endpointOf, KEEPALIVE_MS } from '../../../packages/server/src/engine/etcd/channel.ts'
import { many, message, method, one, type Received } from '../../../packages/server/src/engine/etcd/wire.ts'

const header = message({ revision: one(3, 'int64') })
const keyValue = message({ key: one(1, 'bytes'), modRevision: one(3, 'int64'), value: one(5, 'bytes') })
/** `type` is 0 for a put, 1 for a deletion. */
const event = message({ type: one(1, 'uint32'), kv: one(2, keyValue) })
const createRequest = message({ key: one(1, 'bytes'), rangeEnd: one(2, 'bytes'), startRevision: one(3, 'int64') })
const watchRequest = message({ createRequest: one(1, createRequest) })
const watchResponse = message({
  header: one(1, header),
  canceled: one(4, 'bool'),
  compactRevision: one(5, 'int64'),
  cancelReason: one(6, 'string'),
  events: many(11, event),
})
const watch = method('/etcdserverpb.Watch/Watch', watchRequest, watchResponse)
/** Of etcd: all keys. */
const ALL = Buffer.from([0])

export type WatchReply = Received<typeof watchResponse>

/** Calls `heard` with what comes, and `ended` once. Returns how to end it. */
export function streamFrom(
  url: string,
  startRevision: number,
  to: { heard(reply: WatchReply): void; ended(why: string): void },
): () => void {
  const channel = new Channel({
    endpoint: endpointOf(url),
    credentials: credentials.createInsecure(),
    clock: systemClock,
    keepaliveMs: KEEPALIVE_MS,
  })
  const stream = channel.duplex(watch, null)
  let isOver = false
  const end = (why: string) => {
    if (isOver) return
    isOver = true
    stream.cancel()
    channel.close()
    to.ended(why)
  }
  stream.on('data', (reply: WatchReply) => {
    if (isOver) return
    to.heard(reply)
    if (reply.canceled) end(`${reply.cancelReason} (compacted: ${reply.compactRevision})`)
  })
  stream.on('error', error => end(error.message))
  stream.on('end', () => end('the watch has ended'))
  stream.write({ createRequest: { key: ALL, rangeEnd: ALL, startRevision } })
  return () => end('enough')
}
