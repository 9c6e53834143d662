/** Generated from `etcd.proto` by `npm run generate`; do not edit. */
import { many, message, method, one } from './wire.ts'

export const compareTarget = { VERSION: 0, CREATE: 1, MOD: 2 } as const
export const alarmType = { NONE: 0, NOSPACE: 1, CORRUPT: 2 } as const
export const alarmAction = { GET: 0, ACTIVATE: 1, DEACTIVATE: 2 } as const

const responseHeader = message({
  clusterId: one(1, 'uint64'),
  memberId: one(2, 'uint64'),
  revision: one(3, 'int64'),
  raftTerm: one(4, 'uint64'),
})
const keyValue = message({
  key: one(1, 'bytes'),
  modRevision: one(3, 'int64'),
  value: one(5, 'bytes'),
})
const rangeRequest = message({
  key: one(1, 'bytes'),
  rangeEnd: one(2, 'bytes'),
  limit: one(3, 'int64'),
  revision: one(4, 'int64'),
})
const rangeResponse = message({
  header: one(1, responseHeader),
  kvs: many(2, keyValue),
  more: one(3, 'bool'),
})
const putRequest = message({
  key: one(1, 'bytes'),
  value: one(2, 'bytes'),
})
const deleteRangeRequest = message({
  key: one(1, 'bytes'),
  rangeEnd: one(2, 'bytes'),
})
const requestOp = message({
  requestRange: one(1, rangeRequest),
  requestPut: one(2, putRequest),
  requestDeleteRange: one(3, deleteRangeRequest),
})
const responseOp = message({
  responseRange: one(1, rangeResponse),
})
const compare = message({
  target: one(2, 'uint32'),
  key: one(3, 'bytes'),
  modRevision: one(6, 'int64'),
})
const txnRequest = message({
  compare: many(1, compare),
  success: many(2, requestOp),
  failure: many(3, requestOp),
})
const txnResponse = message({
  header: one(1, responseHeader),
  succeeded: one(2, 'bool'),
  responses: many(3, responseOp),
})
const compactionRequest = message({
  revision: one(1, 'int64'),
  physical: one(2, 'bool'),
})
const compactionResponse = message({
  header: one(1, responseHeader),
})
const watchCreateRequest = message({
  key: one(1, 'bytes'),
  rangeEnd: one(2, 'bytes'),
  startRevision: one(3, 'int64'),
})
const watchProgressRequest = message({})
const watchRequest = message({
  createRequest: one(1, watchCreateRequest),
  progressRequest: one(3, watchProgressRequest),
})
const event = message({})
const watchResponse = message({
  header: one(1, responseHeader),
  created: one(3, 'bool'),
  canceled: one(4, 'bool'),
  compactRevision: one(5, 'int64'),
  cancelReason: one(6, 'string'),
  events: many(11, event),
})
const member = message({
  id: one(1, 'uint64'),
  name: one(2, 'string'),
  peerURLs: many(3, 'string'),
  clientURLs: many(4, 'string'),
  isLearner: one(5, 'bool'),
})
const memberAddRequest = message({
  peerURLs: many(1, 'string'),
  isLearner: one(2, 'bool'),
})
const memberAddResponse = message({
  header: one(1, responseHeader),
  member: one(2, member),
  members: many(3, member),
})
const memberRemoveRequest = message({
  id: one(1, 'uint64'),
})
const memberRemoveResponse = message({
  header: one(1, responseHeader),
  members: many(2, member),
})
const memberUpdateRequest = message({
  id: one(1, 'uint64'),
  peerURLs: many(2, 'string'),
})
const memberUpdateResponse = message({
  header: one(1, responseHeader),
  members: many(2, member),
})
const memberListRequest = message({
  linearizable: one(1, 'bool'),
})
const memberListResponse = message({
  header: one(1, responseHeader),
  members: many(2, member),
})
const memberPromoteRequest = message({
  id: one(1, 'uint64'),
})
const memberPromoteResponse = message({
  header: one(1, responseHeader),
  members: many(2, member),
})
const defragmentRequest = message({})
const defragmentResponse = message({
  header: one(1, responseHeader),
})
const hashKVRequest = message({
  revision: one(1, 'int64'),
})
const hashKVResponse = message({
  header: one(1, responseHeader),
  hash: one(2, 'uint32'),
  compactRevision: one(3, 'int64'),
  hashRevision: one(4, 'int64'),
})
const snapshotRequest = message({})
const snapshotResponse = message({
  header: one(1, responseHeader),
  remainingBytes: one(2, 'uint64'),
  blob: one(3, 'bytes'),
})
const moveLeaderRequest = message({
  targetID: one(1, 'uint64'),
})
const moveLeaderResponse = message({
  header: one(1, responseHeader),
})
const alarmRequest = message({
  action: one(1, 'uint32'),
  memberID: one(2, 'uint64'),
  alarm: one(3, 'uint32'),
})
const alarmMember = message({
  memberID: one(1, 'uint64'),
  alarm: one(2, 'uint32'),
})
const alarmResponse = message({
  header: one(1, responseHeader),
  alarms: many(2, alarmMember),
})
const statusRequest = message({})
const statusResponse = message({
  header: one(1, responseHeader),
  version: one(2, 'string'),
  dbSize: one(3, 'int64'),
  leader: one(4, 'uint64'),
  raftIndex: one(5, 'uint64'),
  raftTerm: one(6, 'uint64'),
  raftAppliedIndex: one(7, 'uint64'),
  errors: many(8, 'string'),
  dbSizeInUse: one(9, 'int64'),
  isLearner: one(10, 'bool'),
  dbSizeQuota: one(12, 'int64'),
})
const authenticateRequest = message({
  name: one(1, 'string'),
  password: one(2, 'string'),
})
const authenticateResponse = message({
  header: one(1, responseHeader),
  token: one(2, 'string'),
})

export const methods = {
  range: method('/etcdserverpb.KV/Range', rangeRequest, rangeResponse),
  txn: method('/etcdserverpb.KV/Txn', txnRequest, txnResponse),
  compact: method('/etcdserverpb.KV/Compact', compactionRequest, compactionResponse),
  watch: method('/etcdserverpb.Watch/Watch', watchRequest, watchResponse),
  memberAdd: method('/etcdserverpb.Cluster/MemberAdd', memberAddRequest, memberAddResponse),
  memberRemove: method('/etcdserverpb.Cluster/MemberRemove', memberRemoveRequest, memberRemoveResponse),
  memberUpdate: method('/etcdserverpb.Cluster/MemberUpdate', memberUpdateRequest, memberUpdateResponse),
  memberList: method('/etcdserverpb.Cluster/MemberList', memberListRequest, memberListResponse),
  memberPromote: method('/etcdserverpb.Cluster/MemberPromote', memberPromoteRequest, memberPromoteResponse),
  alarm: method('/etcdserverpb.Maintenance/Alarm', alarmRequest, alarmResponse),
  status: method('/etcdserverpb.Maintenance/Status', statusRequest, statusResponse),
  defragment: method('/etcdserverpb.Maintenance/Defragment', defragmentRequest, defragmentResponse),
  hashKV: method('/etcdserverpb.Maintenance/HashKV', hashKVRequest, hashKVResponse),
  snapshot: method('/etcdserverpb.Maintenance/Snapshot', snapshotRequest, snapshotResponse),
  moveLeader: method('/etcdserverpb.Maintenance/MoveLeader', moveLeaderRequest, moveLeaderResponse),
  authenticate: method('/etcdserverpb.Auth/Authenticate', authenticateRequest, authenticateResponse),
}
