import { v2 } from '@holdfast/protocol/v2'
import { route } from '../call.ts'
import { Refused } from '../reply.ts'

/** Upgrades to a WebSocket never come here: connect/upgrade.ts takes them before there is a request. */
export const connect = route(v2.connect, async () => {
  throw new Refused({
    code: 'invalid_request',
    message: 'This path is for WebSockets: send `Upgrade: websocket`.',
    target: { type: 'header', name: 'Upgrade' },
  })
})
