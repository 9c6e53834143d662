import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PASSED_OVER_MS, planOf, rankingsOf, SETTLED_MS } from './assignment.ts'
import type { View } from './observer.ts'

const names = (count: number) => Array.from({ length: count }, (_, index) => `server-${index}.${index * 7_919}`)

function viewOf(members: string[], owners: (string | null)[], leaving: string[] = []): View {
  return {
    members: new Map(
      members.map(server => [
        server,
        {
          server,
          address: '',
          startedAt: 0,
          memberTtlMs: 2_000,
          beat: '',
          isLeaving: leaving.includes(server),
          pid: 1,
          bootId: null,
          pidNamespace: null,
          processStart: null,
        },
      ]),
    ),
    owners: owners.map(server => (server === null ? null : { server, epoch: 1, revision: 1 })),
  }
}

const always = { unownedMs: () => 1_000_000, knownMs: () => 1_000_000 }

test('the shares are equal, and every server counts the same', () => {
  for (const servers of [1, 2, 3, 5, 8, 13]) {
    for (const shards of [1, 8, 64]) {
      const rankings = rankingsOf(shards, names(servers))
      const counts = new Map<string, number>()
      for (const [first] of rankings) counts.set(first!, (counts.get(first!) ?? 0) + 1)
      assert.ok(Math.max(...counts.values()) <= Math.ceil(shards / servers))
      for (const ranking of rankings) assert.equal(new Set(ranking).size, servers)
      assert.deepEqual(rankingsOf(shards, names(servers)), rankings)
    }
  }
})

test('who joins moves less than half as much as a new deal would', () => {
  let moved = 0
  for (let round = 0; round < 50; round++) {
    const before = rankingsOf(
      64,
      names(3).map(name => `${name}${round}`),
    )
    const after = rankingsOf(64, [...names(3).map(name => `${name}${round}`), `new-${round}`])
    moved += before.filter(([first], shard) => first !== after[shard]![0]).length
  }
  // A quarter must move; a new deal would move three quarters.
  assert.ok(moved / 50 < 64 / 2, `${moved / 50} of 64`)
})

test('whom more than half of all servers cannot reach is given nothing; half is not enough, and if it is so of all it is so of none', () => {
  const view = (count: number, complaints: number) => {
    const servers = names(count)
    const made = viewOf(servers, new Array(8).fill(servers[0]))
    for (const server of servers.slice(1, 1 + complaints))
      Object.assign(made.members.get(server)!, { unreachable: [servers[0]] })
    return { servers, view: made }
  }
  const kept = ({ servers, view: seen }: ReturnType<typeof view>) => {
    const hosted = new Set([0, 1, 2, 3, 4, 5, 6, 7])
    return 8 - planOf({ view: seen, self: servers[0]!, hosted, ...always }).give.length
  }
  for (const [count, complaints, keeps] of [
    [2, 1, true],
    [3, 1, true],
    [3, 2, false],
    [4, 2, true],
    [4, 3, false],
    [5, 2, true],
    [5, 3, false],
  ] as const)
    assert.equal(kept(view(count, complaints)) > 0, keeps, `${complaints} of ${count}`)
  const all = names(3)
  const apart = viewOf(all, new Array(8).fill(all[0]))
  for (const member of apart.members.values())
    Object.assign(member, { unreachable: all.filter(other => other !== member.server) })
  assert.ok(kept({ servers: all, view: apart }) > 0)
})

test('together the servers take each shard that has no owner, once', () => {
  const members = names(3)
  const plans = members.map(self =>
    planOf({
      view: viewOf(members, Array(8).fill(null)),
      self,
      hosted: new Set(),
      unownedMs: () => 0,
      knownMs: () => 0,
    }),
  )
  assert.deepEqual(plans.flatMap(plan => plan.take).sort(), [0, 1, 2, 3, 4, 5, 6, 7])
})

test('a shard that nobody took falls to the next in line, later to all', () => {
  const members = names(3)
  const [shard] = [0]
  const ranking = rankingsOf(8, members)[shard]!
  for (const [place, self] of ranking.entries()) {
    const at = (unownedMs: number) =>
      planOf({
        view: viewOf(members, Array(8).fill(null)),
        self,
        hosted: new Set(),
        unownedMs: () => unownedMs,
        knownMs: () => 0,
      })
    assert.equal(at(place * PASSED_OVER_MS).take.includes(shard), true)
    if (place > 0) assert.equal(at(place * PASSED_OVER_MS - 1).take.includes(shard), false)
  }
})

test('a shard that an older server cannot read is for those who can; if none can it is as if all could', () => {
  const servers = names(3)
  const [best, second, third] = rankingsOf(8, servers)[5]!
  const deal = (unreadable: string[], owner: string | null, self: string) => {
    const view = viewOf(servers, [...Array(5).fill(best), owner])
    const members = [...view.members].map(([name, member]) => [name, { ...member, unreadable: [5] }] as const)
    const seen = new Map([...view.members, ...members.filter(([name]) => unreadable.includes(name))])
    const hosted = new Set(owner === self ? [5] : [])
    const { take, give } = planOf({ ...always, view: { ...view, members: seen }, self, hosted, unownedMs: () => 0 })
    return { takes: take.includes(5), gives: give.includes(5) }
  }
  assert.deepEqual(deal([], null, best!), { takes: true, gives: false })
  assert.deepEqual(deal([best!], null, best!), { takes: false, gives: false })
  assert.deepEqual(deal([best!], null, second!), { takes: true, gives: false })
  assert.deepEqual(deal([best!], second!, second!), { takes: false, gives: false }, 'not given back')
  assert.deepEqual(deal([], second!, second!), { takes: false, gives: true })
  assert.deepEqual(deal([best!, second!, third!], null, best!), { takes: true, gives: false })
})

test('nothing is taken from a server that lives, whoever should have the shard', () => {
  const members = names(3)
  for (const self of members) {
    const others = members.filter(name => name !== self)
    const plan = planOf({ view: viewOf(members, Array(8).fill(others[0])), self, hosted: new Set(), ...always })
    assert.deepEqual(plan, { take: [], give: [] })
  }
})

test('what the record says is ours and we do not host is taken again', () => {
  const self = names(1)[0]!
  const plan = planOf({ view: viewOf([self], Array(8).fill(self)), self, hosted: new Set([3]), ...always })
  assert.deepEqual(plan.take, [0, 1, 2, 4, 5, 6, 7])
})

test('shards are given to who has stayed for a while, not to who has just come', () => {
  const members = names(2)
  const [self, other] = [members[0]!, members[1]!]
  const owned = { view: viewOf(members, Array(8).fill(self)), self, hosted: new Set([0, 1, 2, 3, 4, 5, 6, 7]) }
  const early = planOf({ ...owned, unownedMs: () => 0, knownMs: server => (server === other ? SETTLED_MS - 1 : 1e9) })
  assert.deepEqual(early.give, [])
  const later = planOf({ ...owned, unownedMs: () => 0, knownMs: () => SETTLED_MS })
  assert.equal(later.give.length, 4)
})

test('a server that leaves is given nothing and takes nothing', () => {
  const members = names(3)
  const leaving = members[1]!
  const view = viewOf(members, Array(8).fill(null), [leaving])
  assert.deepEqual(planOf({ view, self: leaving, hosted: new Set(), ...always }).take, [])
  const [self] = members
  const owned = viewOf(members, Array(8).fill(self), [leaving])
  const plan = planOf({ view: owned, self: self!, hosted: new Set([0, 1, 2, 3, 4, 5, 6, 7]), ...always })
  assert.equal(plan.give.length, 4)
})

test('a shard that names a server which does not host it is taken again by that one, whoever should have it', () => {
  const members = names(3)
  const [[first, second]] = rankingsOf(1, members) as [[string, string]]
  const view = viewOf(members, [second])
  const plan = (self: string) => planOf({ view, self, hosted: new Set(), unownedMs: () => 0, knownMs: () => 1_000_000 })
  // Nobody else can: its record says that it lives.
  assert.deepEqual(plan(first).take, [])
  assert.deepEqual(plan(second).take, [0])
})
