import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pause, systemClock } from '../../clock.ts'
import type { Member } from './calls.ts'
import { EtcdClient } from './client.ts'
import { FOLLOW_MS, followed, isAsAdvertised } from './following.ts'
import { startScripted } from './scripted.ts'

const member = (name: string, clientURLs: string[], isLearner = false): Member => {
  return { id: 1n, name, peerURLs: [], clientURLs, isLearner }
}
const a = 'https://10.0.0.1:2379'
const b = 'https://10.0.0.2:2379'
const c = 'https://10.0.0.3:2379'

test('the list is believed only where members are reached as they advertise themselves', () => {
  const members = [member('a', [a]), member('b', [`${b}/`])]
  assert.equal(isAsAdvertised([a, b], members), true)
  assert.equal(isAsAdvertised([a], members), true)
  assert.equal(isAsAdvertised([a, 'https://proxy:2379'], members), false)
})

test('new members are asked, former ones no more, and those that still learn not yet', () => {
  assert.deepEqual(followed([a, b], [member('b', [b]), member('c', [c])]), [b, c])
  assert.deepEqual(followed([a], [member('a', [a]), member('c', [c], true), member('d', [])]), [a])
})

test('of several addresses of one member that is kept which is in use', () => {
  assert.deepEqual(followed([b], [member('a', [a, b])]), [b])
  assert.deepEqual(followed([c], [member('a', [a, b])]), [a])
})

test('an address that cannot be asked from here is passed over, and what it stands beside is followed', async () => {
  assert.deepEqual(followed([a], [member('a', ['unix://a:1', a]), member('b', ['unix://b:1']), member('c', [c])]), [
    a,
    c,
  ])
  const header = { clusterId: 1n, memberId: 1n, revision: 1, raftTerm: 1n }
  const members = [member('a', ['unix://localhost:12345'])]
  const etcd = await startScripted({ memberList: () => ({ header, members }) })
  members[0]?.clientURLs.push(etcd.url)
  const clock = {
    ...systemClock,
    after: (ms: number, act: () => void) => systemClock.after(ms === FOLLOW_MS ? 1 : ms, act),
  }
  const client = new EtcdClient({ urls: [etcd.url], clock, follows: true, onTrouble: ({ what }) => assert.fail(what) })
  try {
    members.push(member('b', [b]))
    while (client.urls.length < 2) await pause(clock, 5)
    assert.deepEqual(client.urls, [etcd.url, b])
  } finally {
    client.close()
    etcd.close()
  }
})
