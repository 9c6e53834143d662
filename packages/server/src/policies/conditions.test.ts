import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Conditions } from '../registry/records.ts'
import { addressBits, isWithin, parseBlock, plainAddress } from './addresses.ts'
import { compileConditions } from './conditions.ts'
import type { Question } from './port.ts'
import { person } from './testing.ts'

const noon = Date.UTC(2026, 10, 20, 12) // a Friday

function fails(conditions: Conditions, asked: Partial<Question>): string | null {
  const question = {
    identity: person(),
    instance: 'default',
    action: 'lock.acquire',
    address: '192.0.2.7',
    atMs: noon,
    ...asked,
  } as const
  for (const check of compileConditions(conditions)) {
    const failed = check(question)
    if (failed !== null) return failed
  }
  return null
}

test('a block holds the addresses that share its first bits, however they are written', () => {
  for (const [block, address, fits] of [
    ['10.0.0.0/8', '10.255.0.1', true],
    ['10.0.0.0/8', '11.0.0.1', false],
    ['10.1.2.3/8', '10.9.9.9', true],
    ['10.0.0.0/8', '::ffff:10.1.2.3', true],
    ['10.0.0.0/8', '::ffff:a01:203', true],
    ['::ffff:10.0.0.0/104', '10.1.2.3', true],
    ['192.0.2.7', '192.0.2.7', true],
    ['192.0.2.7', '192.0.2.8', false],
    ['192.0.2.6/31', '192.0.2.7', true],
    ['0.0.0.0/0', '203.0.113.9', true],
    ['0.0.0.0/0', '2001:db8::1', false],
    ['::/0', '203.0.113.9', true],
    ['2001:db8::/32', '2001:db8:ffff::1', true],
    ['2001:db8::/32', '2001:db9::1', false],
    ['2001:db8::1', '2001:0DB8:0:0:0:0:0:1', true],
    ['fe80::/10', 'fe80::1%eth0', true],
    ['::1', '127.0.0.1', false],
  ] as const) {
    const parsed = parseBlock(block)
    assert.ok(parsed, block)
    assert.equal(isWithin([parsed], address), fits, `${address} in ${block}`)
  }
  for (const bad of [
    '',
    '10.0.0.0/33',
    '10.0.0/8',
    '::/129',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    'x',
    '010.0.0.1',
    'fe80::1%eth0',
  ])
    assert.equal(parseBlock(bad), null, bad)
  for (const nowhere of ['', 'unknown', '10.0.0.256', ' 10.0.0.1'])
    assert.equal(isWithin([parseBlock('::/0')!], nowhere), false, nowhere)
  assert.equal(plainAddress('::ffff:10.1.2.3'), '10.1.2.3')
  assert.equal(plainAddress('::1'), '::1')
})

test('an IPv6 address is the number that its groups are', () => {
  fc.assert(
    fc.property(fc.ipV6(), address => {
      const bits = addressBits(address)
      assert.ok(bits !== null && bits >= 0n && bits < 1n << 128n)
      // The URL parser is another's reading of the same rules.
      const url = new URL(`http://[${address}]/`).hostname.slice(1, -1)
      assert.equal(addressBits(url), bits)
    }),
  )
})

test('sources that are no addresses let nobody in, and neither does an address that cannot be read', () => {
  assert.equal(fails({ sources: ['192.0.2.0/24'] }, {}), null)
  assert.match(fails({ sources: ['nonsense'] }, {}) ?? '', /address/)
  assert.match(fails({ sources: ['::/0'] }, { address: '' }) ?? '', /address/)
})

test('hours are UTC, may go over midnight, and then belong to the day on which they begin', () => {
  const at = (day: number, hour: number, minute = 0) => Date.UTC(2026, 10, 20 + day, hour, minute)
  const office = { hours: { days: [1, 2, 3, 4, 5], fromMinute: 9 * 60, toMinute: 17 * 60 } }
  const night = { hours: { days: [5], fromMinute: 22 * 60, toMinute: 6 * 60 } }
  for (const [conditions, atMs, fits] of [
    [office, at(0, 9), true],
    [office, at(0, 8, 59), false],
    [office, at(0, 16, 59), true],
    [office, at(0, 17), false],
    [office, at(1, 12), false],
    [night, at(0, 22), true],
    [night, at(1, 5, 59), true],
    [night, at(1, 6), false],
    [night, at(0, 3), false],
    [night, at(1, 22), false],
    [{ hours: { fromMinute: 0, toMinute: 24 * 60 } }, at(3, 23, 59), true],
  ] as const)
    assert.equal(
      fails(conditions, { atMs }) === null,
      fits,
      `${JSON.stringify(conditions)} ${new Date(atMs).toISOString()}`,
    )
})

test('what a request asks for is compared with the most that is permitted, n and n + 1', () => {
  const limits: Conditions = { maxTtlMs: 5_000, maxPriority: 3, preempt: 'graceful', labels: { team: 'a' } }
  const fit = { ttlMs: 5_000, priority: 3, preempt: 'graceful', labels: { team: 'a', more: 'b' } } as const
  assert.equal(fails(limits, fit), null)
  for (const [more, message] of [
    [{ ttlMs: 5_001 }, /TTL/],
    [{ priority: 4 }, /priority/],
    [{ preempt: 'immediate' }, /preempt/],
    [{ labels: { team: 'b' } }, /label/],
    [{ labels: {} }, /label/],
  ] as const) {
    assert.match(fails(limits, { ...fit, ...more }) ?? '', message)
    assert.equal(fails(limits, { ...fit, ...more, isEarly: true }), null, 'the body has not been read')
    assert.equal(fails(limits, { ...fit, ...more, action: 'lock.release' }), null, 'who holds may always release')
  }
  const { labels: _, ...unlabelled } = fit
  assert.match(fails(limits, unlabelled) ?? '', /label/)
  const inherited = Object.create({ team: 'a' })
  assert.match(fails(limits, { ...fit, labels: inherited }) ?? '', /label/, 'only own fields count')
  assert.equal(fails({ maxPriority: 0, preempt: 'never' }, {}), null, 'what is left out is 0 and never')
  assert.match(fails({ maxPriority: -1 }, {}) ?? '', /priority/)
})

test('a TTL that is not known is not permitted where it matters, but a renewal may leave it as it is', () => {
  assert.match(fails({ maxTtlMs: 5_000 }, {}) ?? '', /TTL/)
  assert.equal(fails({ maxTtlMs: 5_000 }, { action: 'session.renew' }), null)
  assert.match(fails({ maxTtlMs: 5_000 }, { action: 'session.renew', ttlMs: 5_001 }) ?? '', /TTL/)
})
