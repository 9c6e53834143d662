/** Members of etcd that are well are not enough: what makes a cluster that servers have used unhealthy. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serversOf } from './doctor.ts'
import { problemsOf } from './status.ts'
import type { ServerPicture, StorePicture } from './store.ts'

const loopback = [{ url: 'https://127.0.0.1:2379' }, { url: null }]
const machines = [{ url: 'https://10.0.0.1:2379' }, { url: 'https://10.0.0.2:2379' }]

/** As far as it is looked at. */
function server(name: string, more: Partial<ServerPicture> = {}): ServerPicture {
  return { server: name, address: `http://${name}:7420`, startedAt: 0, isBeating: true, ...more } as ServerPicture
}

/** Shards are numbered as their owners come. */
function store(servers: ServerPicture[], owners: (string | null)[] = ['a', 'b']): StorePicture {
  return {
    clusterId: 'c',
    format: 1,
    servers,
    shards: owners.map((owner, shard) => ({ shard, server: owner, epoch: 1 })),
  }
}

function whatOf(
  picture: StorePicture | null,
  members: { url: string | null }[] = loopback,
  storeTrouble: string | null = null,
) {
  return problemsOf({ store: picture, storeTrouble }, members).map(({ what }) => what)
}

test('all servers alive, every shard owned: no problem', () => {
  assert.deepEqual(whatOf(store([server('a'), server('b')])), [])
  assert.deepEqual(whatOf(store([server('a'), server('b')]), machines), [])
})

test('a cluster that no server has used may have none; one whose records cannot be read is not called well', () => {
  assert.deepEqual(whatOf(null), [])
  assert.deepEqual(whatOf(null, loopback, 'sealed'), ['the records of the servers cannot be read: sealed'])
})

test('no server alive: all silent, or all gone', () => {
  const silent = { isBeating: false }
  assert.deepEqual(whatOf(store([server('a', silent), server('b', silent)])), ['no Holdfast server is alive'])
  assert.deepEqual(whatOf(store([], [null, null])), ['no Holdfast server is alive'])
})

test('shards whose owner is nobody, unknown or silent', () => {
  const servers = [server('a'), server('b', { isBeating: false })]
  assert.deepEqual(whatOf(store(servers, ['a', 'b', null, 'gone'])), ['shards without an owner that lives: 1 2 3'])
})

test('two that are found at one address; one that is silent there is no other', () => {
  const address = 'http://10.0.0.1:7420'
  assert.deepEqual(whatOf(store([server('a', { address }), server('b', { address })]), machines), [
    `a, b all say that they are reached at ${address}`,
  ])
  assert.deepEqual(whatOf(store([server('a', { address }), server('b', { address, isBeating: false })], ['a'])), [])
})

test('a loopback address while etcd is on other machines', () => {
  for (const address of ['http://127.0.0.1:7420', 'http://localhost:7420', 'https://[::1]:7420']) {
    const picture = store([server('a', { address }), server('b')])
    assert.match(
      whatOf(picture, machines).join(),
      /^a says that it is reached at \S+, which no other machine can reach/,
    )
    assert.deepEqual(whatOf(picture, loopback), [])
  }
})

test('doctor calls each a problem, and says all is owned only when it is', () => {
  const ill = store([
    server('a', { address: 'http://127.0.0.1:7420' }),
    server('b', { address: 'http://127.0.0.1:7420' }),
  ])
  const problems = problemsOf({ store: ill, storeTrouble: null }, machines)
  const findings = serversOf({ store: ill, problems })
  assert.deepEqual(
    findings.map(({ level }) => level),
    ['problem', 'problem', 'problem'],
  )
  assert.ok(findings.every(({ change }) => change.includes('--advertise')))
  const [well] = serversOf({ store: store([server('a'), server('b')]), problems: [] })
  assert.deepEqual(well, { level: 'ok', what: '2 servers own all 2 shards', change: '' })
})
