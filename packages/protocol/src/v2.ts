/** `/v2`, the whole service. */
import { Type } from 'typebox'
import { actions, operation, sessionHeader } from './operation.ts'
import * as s from './schemas.ts'
import { v2Administration } from './v2-administration.ts'
import { v2Audit } from './v2-audit.ts'
import { v2Locks } from './v2-locks.ts'
import { v2Operators } from './v2-operators.ts'
import * as v from './v2-schemas.ts'
import { v2Sessions } from './v2-sessions.ts'
import { v2Usage } from './v2-usage.ts'

const requestId = s.optional(s.requestId)
const lastEventId = { name: 'Last-Event-ID', isRequired: false, description: 'Resume after this event.' } as const
const streamText =
  'Server-sent events. Reconnect with `Last-Event-ID` to miss none; a `reset` event says that some are no longer known.'

const acquireAll = operation({
  id: 'acquireAll',
  version: 'v2',
  tag: 'Several locks',
  method: 'POST',
  path: '/v2/acquire',
  action: 'lock.acquire',
  summary: 'Acquire all of a set of locks in one step, or none',
  description: 'Waits without holding any of them.',
  errors: ['lock_held', 'lock_lost', 'frozen', 'deadlock', 'queue_full', 'quota_exceeded', 'storage_full'],
  headers: [sessionHeader],
  params: s.noFields,
  query: s.noFields,
  body: s.closed({ locks: v.claims, ...v.askFields, wait_ms: s.optional(s.restWaitMs), request_id: requestId }),
  bodyExample: { locks: [{ name: 'account/1' }, { name: 'account/2' }], wait_ms: 5000 },
  replies: {
    200: {
      description: 'All of them are yours.',
      body: s.closed({
        grants: Type.Array(s.grant),
        session_id: s.sessionId,
        ...v.confersFields,
        waited_ms: s.durationMs,
      }),
    },
  },
})

const releaseAll = operation({
  id: 'releaseAll',
  version: 'v2',
  tag: 'Several locks',
  method: 'POST',
  path: '/v2/release',
  action: 'lock.release',
  summary: 'Release several grants in one step',
  description: 'All of them or, when one has been lost, none. They may be given as `acquire` has answered them.',
  errors: ['lock_lost', 'stale_token'],
  headers: [sessionHeader],
  params: s.noFields,
  query: s.noFields,
  body: s.closed({ grants: v.shownGrants, request_id: requestId }),
  replies: { 200: { description: 'Released.', body: v.released } },
})

const campaign = operation({
  id: 'campaign',
  version: 'v2',
  tag: 'Elections',
  method: 'POST',
  path: '/v2/elections/{name}/campaign',
  action: 'election.campaign',
  summary: 'Become the leader, with a value that all can read',
  errors: ['lock_held', 'lock_lost', 'frozen', 'deadlock', 'queue_full', 'quota_exceeded', 'storage_full'],
  headers: [sessionHeader],
  params: s.nameParams,
  query: s.noFields,
  body: s.closed({
    value: s.lockValue,
    wait_ms: s.optional(s.restWaitMs),
    priority: s.optional(s.priority),
    request_id: requestId,
    labels: s.optional(s.labels),
    metadata: s.optional(s.metadata),
  }),
  bodyExample: { value: 'https://node-1:8080', wait_ms: 60000 },
  replies: { 200: { description: 'Elected.', body: v.acquired } },
})

const proclaim = operation({
  id: 'proclaim',
  version: 'v2',
  tag: 'Elections',
  method: 'POST',
  path: '/v2/elections/{name}/proclaim',
  action: 'election.proclaim',
  summary: "Change the leader's value as the leader",
  errors: ['stale_token', 'lock_lost', 'storage_full'],
  headers: [sessionHeader],
  params: s.nameParams,
  query: s.noFields,
  body: s.closed({ token: s.token, value: s.lockValue, request_id: requestId }),
  replies: { 200: { description: 'Proclaimed.', body: s.closed({ token: s.token, written_at: s.timestamp }) } },
})

const resign = operation({
  id: 'resign',
  version: 'v2',
  tag: 'Elections',
  method: 'POST',
  path: '/v2/elections/{name}/resign',
  action: 'election.resign',
  summary: 'Stop being the leader',
  errors: ['lock_lost', 'stale_token'],
  headers: [sessionHeader],
  params: s.nameParams,
  query: s.noFields,
  body: s.closed({ token: s.token, request_id: requestId }),
  replies: { 200: { description: 'Resigned.', body: s.closed({ resigned: Type.Literal(true) }) } },
})

const getElection = operation({
  id: 'getElection',
  version: 'v2',
  tag: 'Elections',
  method: 'GET',
  path: '/v2/elections/{name}',
  action: 'lock.read',
  summary: 'Who leads',
  errors: [],
  params: s.nameParams,
  query: s.noFields,
  body: null,
  replies: { 200: { description: 'The leader, if there is one.', body: v.election } },
})

const observe = operation({
  id: 'observe',
  version: 'v2',
  tag: 'Elections',
  method: 'GET',
  path: '/v2/elections/{name}/observe',
  action: 'lock.watch',
  summary: 'Watch who leads, and with what value',
  description: `${streamText} Beside the lock's events comes a \`leader\` event, first of all and after each change; it has no id, and a value only for those with \`lock.read\`.`,
  errors: ['quota_exceeded'],
  headers: [lastEventId],
  params: s.nameParams,
  query: s.closed({ cursor: s.optional(s.cursor) }),
  body: null,
  replies: {
    200: { description: 'Events, as they happen.', body: Type.Union([s.lockEvent, v.election]), isStream: true },
  },
})

const watch = operation({
  id: 'watch',
  version: 'v2',
  tag: 'Watching',
  method: 'GET',
  path: '/v2/watch',
  action: 'lock.watch',
  summary: 'Watch the events of all locks under a prefix',
  description: streamText,
  errors: ['quota_exceeded'],
  headers: [lastEventId],
  params: s.noFields,
  query: s.closed({ prefix: s.optional(s.lockPrefix), cursor: s.optional(s.cursor) }),
  body: null,
  replies: { 200: { description: 'Events, as they happen.', body: s.lockEvent, isStream: true } },
})

const connect = operation({
  id: 'connect',
  version: 'v2',
  tag: 'Connection',
  method: 'GET',
  path: '/v2/connect',
  action: null,
  summary: "Open the library's multiplexed channel, a WebSocket",
  description:
    'Frames are JSON arrays of messages; the first message is `hello`. The messages are in the components `ClientMessage` and `ServerMessage`.',
  errors: [],
  params: s.noFields,
  query: s.noFields,
  body: null,
  replies: { 101: { description: 'Switched to a WebSocket.', body: null } },
})

const whoami = operation({
  id: 'whoami',
  version: 'v2',
  tag: 'Connection',
  method: 'GET',
  path: '/v2/whoami',
  action: null,
  summary: 'Whose credential this is and what it permits',
  errors: [],
  params: s.noFields,
  query: s.noFields,
  body: null,
  replies: {
    200: {
      description: 'You.',
      body: s.closed({ subject: Type.String(), instance: Type.String(), actions: Type.Array(Type.Enum([...actions])) }),
    },
  },
})

export const v2 = {
  ...v2Sessions,
  ...v2Locks,
  ...v2Operators,
  ...v2Administration,
  ...v2Usage,
  ...v2Audit,
  acquireAll,
  releaseAll,
  campaign,
  proclaim,
  resign,
  getElection,
  observe,
  watch,
  connect,
  whoami,
} as const
