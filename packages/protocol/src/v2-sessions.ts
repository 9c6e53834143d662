/** `/v2`: sessions. */
import { Type } from 'typebox'
import { operation, sessionHeader } from './operation.ts'
import * as s from './schemas.ts'
import * as v from './v2-schemas.ts'

const sessionParams = s.closed({ session_id: s.sessionId })

const openSession = operation({
  id: 'openSession',
  version: 'v2',
  tag: 'Sessions',
  method: 'POST',
  path: '/v2/sessions',
  action: 'session.open',
  summary: 'Open a session',
  description:
    "A session is a client's liveness: what it holds and waits for ends when it ends. Renew it at a third of its TTL.",
  errors: ['quota_exceeded', 'storage_full'],
  params: s.noFields,
  query: s.noFields,
  body: s.closed({ ttl_ms: s.optional(s.ttlMs), labels: s.optional(s.labels) }),
  bodyExample: { ttl_ms: 15000, labels: { service: 'billing' } },
  replies: {
    201: {
      description: 'Opened. The secret is shown here only.',
      body: s.closed({
        session_id: s.sessionId,
        session_secret: s.lockId,
        ...v.confersFields,
        expires_at: s.timestamp,
      }),
    },
  },
})

const renewSession = operation({
  id: 'renewSession',
  version: 'v2',
  tag: 'Sessions',
  method: 'POST',
  path: '/v2/sessions/{session_id}/renew',
  action: 'session.renew',
  summary: 'Keep a session, and all it holds, for another TTL',
  description:
    'With `seen_changes` below `changes` the reply lists the grants; the next renewal then says the new number.',
  errors: ['not_found', 'lock_lost'],
  headers: [sessionHeader],
  params: sessionParams,
  query: s.noFields,
  body: s.closed({ ttl_ms: s.optional(s.ttlMs), seen_changes: s.optional(s.changes) }),
  replies: {
    200: {
      description: 'Still alive.',
      body: s.closed({
        session_id: s.sessionId,
        ...v.confersFields,
        expires_at: s.timestamp,
        grants: s.optional(Type.Array(s.grant)),
      }),
    },
  },
})

const getSession = operation({
  id: 'getSession',
  version: 'v2',
  tag: 'Sessions',
  method: 'GET',
  path: '/v2/sessions/{session_id}',
  action: 'session.read',
  summary: 'Look at a session: what it holds and waits for',
  errors: ['not_found'],
  params: sessionParams,
  query: s.noFields,
  body: null,
  replies: {
    200: {
      description: 'The session.',
      body: s.closed({
        session_id: s.sessionId,
        ...v.confersFields,
        labels: s.optional(s.labels),
        grants: Type.Array(s.grant),
        waits: Type.Array(
          s.closed({ locks: Type.Array(s.lockName), mode: s.mode, position: s.count, waited_ms: s.durationMs }),
        ),
      }),
    },
  },
})

const closeSession = operation({
  id: 'closeSession',
  version: 'v2',
  tag: 'Sessions',
  method: 'DELETE',
  path: '/v2/sessions/{session_id}',
  action: 'session.close',
  summary: 'End a session and release all it holds',
  errors: ['not_found', 'lock_lost'],
  headers: [sessionHeader],
  params: sessionParams,
  query: s.noFields,
  body: null,
  replies: { 204: { description: 'Ended.', body: null } },
})

export const v2Sessions = { openSession, renewSession, getSession, closeSession } as const
