/** When two servers answer for one shard at once, and when they only seem to. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CommitRequest } from '../../packages/server/src/engine/engine.ts'
import { judgePromises } from './promises.ts'
import { Promising, type Told, type ToTell } from './promising.ts'

const batch = { written: { shard: 0, batch: { epoch: 1, seq: 1 } } }
const answered = { e: 'answered', shard: 0, epoch: 1, seq: 2, asked: 1, isLogged: false, at: 150 } as const
const one: Told[] = [
  { t: 0, e: 'start', pid: 1 },
  { t: 110, e: 'beat', from: 100 },
  { t: 120, e: 'owner', shard: 0, server: 'one', epoch: 1, from: 110 },
  { t: 160, ...answered },
]
const two = (t: number): Told[] => [
  { t: 0, e: 'start', pid: 2 },
  { t: t - 1, e: 'beat', from: t - 2 },
  { t, e: 'owner', shard: 0, server: 'two', epoch: 2, from: t - 1 },
]

function violations(promises: Told[][]): string[] {
  const found: string[] = []
  judgePromises({ promises, recorded: [batch] }, check => {
    try {
      check()
    } catch (error) {
      found.push(String(error))
    }
  })
  return found
}

test('who takes a shard over while the last beat of another still counts answers beside it; unless that has left', () => {
  assert.match(violations([one, two(500)]).join(), /I21: server 1 \(process 2\) answers for shard 0 1418 ms before/)
  assert.deepEqual(violations([one, two(2_000)]), [])
  assert.deepEqual(violations([[...one, { t: 400, e: 'left' }], two(500)]), [])
  assert.match(violations([[...one, { t: 600, e: 'left' }], two(500)]).join(), /I21: .* 100 ms before/)
  assert.match(
    violations([[...one, { t: 600, e: 'left' }, { t: 900, e: 'start', pid: 3 }], two(500)]).join(),
    /100 ms before/,
  )
})

test('a server has left when it takes its own record away, and not when it does so with that of another', () => {
  const told: ToTell[] = []
  const promising = new Promising(
    () => 0,
    line => void told.push(line),
    { tellsLog: false },
  )
  const hand = (...writes: CommitRequest['writes']) => promising.handed({ checks: [], writes })
  hand({ key: 'h/members/one', value: Buffer.from('1') })
  hand({ key: 'h/members/two', delete: true })
  assert.deepEqual(told, [])
  hand({ key: 'h/members/one', delete: true })
  assert.deepEqual(told, [{ e: 'left' }])
})
