/** `/v2`: what operators may do to the locks of others. */
import { Type } from 'typebox'
import { operation } from './operation.ts'
import * as s from './schemas.ts'
import * as v from './v2-schemas.ts'

const forceRelease = operation({
  id: 'forceRelease',
  version: 'v2',
  tag: 'Operators',
  method: 'POST',
  path: '/v2/locks/{name}/force-release',
  action: 'lock.force-release',
  summary: 'End the grants of others',
  description: 'The next grant waits for the last promised deadline, unless `now` says that it need not.',
  errors: ['not_found', 'stale_token', 'storage_full'],
  params: s.nameParams,
  query: s.noFields,
  body: s.closed({
    reason: s.reason,
    token: s.optional(s.token),
    now: s.optional(Type.Boolean({ description: 'The old holder may still believe that it holds.' })),
  }),
  replies: { 200: { description: 'Ended.', body: v.endedGrants } },
})

const preemptLock = operation({
  id: 'preemptLock',
  version: 'v2',
  tag: 'Operators',
  method: 'POST',
  path: '/v2/locks/{name}/preempt',
  action: 'lock.preempt',
  summary: 'Tell the holders to clean up and go',
  errors: ['not_found', 'stale_token', 'storage_full'],
  params: s.nameParams,
  query: s.noFields,
  body: s.closed({ reason: s.reason, grace_ms: s.optional(s.graceMs), token: s.optional(s.token) }),
  replies: { 200: { description: 'Under notice.', body: v.endedGrants } },
})

const listFreezes = operation({
  id: 'listFreezes',
  version: 'v2',
  tag: 'Operators',
  method: 'GET',
  path: '/v2/freezes',
  action: 'lock.list',
  summary: 'List the freezes in force',
  errors: [],
  params: s.noFields,
  query: s.noFields,
  body: null,
  replies: { 200: { description: 'All of them.', body: s.closed({ freezes: Type.Array(v.v2Freeze) }) } },
})

const freeze = operation({
  id: 'freeze',
  version: 'v2',
  tag: 'Operators',
  method: 'POST',
  path: '/v2/freezes',
  action: 'lock.freeze',
  summary: 'Let nobody acquire the locks under a prefix until a time',
  errors: ['quota_exceeded', 'storage_full'],
  params: s.noFields,
  query: s.noFields,
  body: s.closed({ prefix: s.lockPrefix, until: s.givenTime, reason: s.reason }),
  bodyExample: { prefix: 'deploy/', until: '2027-01-02T08:00:00Z', reason: 'Holidays' },
  replies: { 201: { description: 'Frozen.', body: v.v2Freeze } },
})

const thaw = operation({
  id: 'thaw',
  version: 'v2',
  tag: 'Operators',
  method: 'DELETE',
  path: '/v2/freezes',
  action: 'lock.freeze',
  summary: 'Lift a freeze',
  errors: ['not_found'],
  params: s.noFields,
  query: s.closed({ prefix: s.lockPrefix }),
  body: null,
  replies: { 204: { description: 'Lifted.', body: null } },
})

export const v2Operators = { forceRelease, preemptLock, listFreezes, freeze, thaw } as const
