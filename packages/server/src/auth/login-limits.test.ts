import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HoldfastError } from '@holdfast/protocol/errors'
import { FakeClock } from '../shards/testing.ts'
import {
  ADDRESS_FAILURES_MAX,
  GOOD_LOGINS_MAX,
  KEY_FAILURES_MAX,
  LOGIN_FAILURES_TRACKED_MAX,
  LoginLimits,
  sourceOf,
} from './login-limits.ts'
import { digestOf } from './secrets.ts'

type Tried = { address?: string; key?: string | null; credential?: string }

function limitsWith(clock = new FakeClock()) {
  const emptied: string[] = []
  const limits = new LoginLimits({ clock, onEmpty: (by, name) => emptied.push(`${by} ${name}`) })
  const loginOf = ({ address = '192.0.2.1', key = null, credential = 'guess' }: Tried) => ({
    address,
    key,
    digest: digestOf(credential),
  })
  return {
    clock,
    emptied,
    fail: (tried: Tried = {}) => limits.failed(loginOf(tried)),
    succeed: (tried: Tried = {}) => limits.succeeded(loginOf(tried)),
    /** null: it is looked at; else how long to wait. */
    waits(tried: Tried = {}): number | null {
      try {
        limits.check(loginOf(tried))
        return null
      } catch (error) {
        assert.ok(error instanceof HoldfastError && error.code === 'rate_limited')
        assert.equal(error.details.limit, 'failed_logins')
        return Number(error.details.retry_after_ms)
      }
    },
  }
}

test('ADDRESS_FAILURES_MAX failures from one address are borne, then it waits, as long as is said', () => {
  const { fail, waits, clock, emptied } = limitsWith()
  for (let failure = 1; failure <= ADDRESS_FAILURES_MAX; failure++) {
    assert.equal(waits(), null, `before failure ${failure}`)
    fail()
  }
  const waitMs = waits()
  assert.ok(waitMs !== null && waitMs > 0)
  assert.deepEqual(emptied, ['address 192.0.2.1'])
  assert.equal(waits({ address: '192.0.2.2' }), null, 'another address')
  clock.pause(waitMs - 1)
  assert.equal(waits(), 1)
  clock.pause(1)
  assert.equal(waits(), null)
  fail()
  assert.ok(waits(), 'and one more is one too many again')
})

test('KEY_FAILURES_MAX failures with the id of one key are borne, wherever they come from', () => {
  const { fail, waits, emptied } = limitsWith()
  for (let failure = 1; failure <= KEY_FAILURES_MAX; failure++) {
    assert.equal(waits({ address: `192.0.2.${failure}`, key: 'k-1' }), null)
    fail({ address: `192.0.2.${failure}`, key: 'k-1' })
  }
  assert.ok(waits({ address: '198.51.100.1', key: 'k-1' }))
  assert.deepEqual(emptied, ['key k-1'])
  assert.equal(waits({ address: '198.51.100.1', key: 'k-2' }), null, 'another key')
  assert.equal(waits({ address: '198.51.100.1' }), null, 'no key')
})

test('a credential that was good from an address is looked at when it comes from there again, and nothing else is', () => {
  const { fail, succeed, waits } = limitsWith()
  const own = { key: 'k-1', credential: 'the right one' }
  succeed(own)
  for (let failure = 0; failure < ADDRESS_FAILURES_MAX; failure++) fail({ key: 'k-1' })
  assert.equal(waits(own), null)
  assert.ok(waits({ key: 'k-1', credential: 'a guess' }), 'another secret of the same key')
  assert.ok(waits({ credential: 'the root key, from here for the first time' }))
  assert.ok(waits({ ...own, address: '198.51.100.1' }), 'the same from an address where it has not been good')
})

test('successes cost nothing, and failures are forgiven with time', () => {
  const { fail, succeed, waits, clock } = limitsWith()
  for (let success = 0; success < 3 * ADDRESS_FAILURES_MAX; success++) succeed({ credential: `${success}` })
  assert.equal(waits(), null)
  for (let failure = 0; failure < ADDRESS_FAILURES_MAX; failure++) fail()
  clock.pause(60 * 60_000)
  for (let failure = 0; failure < ADDRESS_FAILURES_MAX; failure++) {
    assert.equal(waits(), null)
    fail()
  }
  assert.ok(waits())
})

test('failures without end do not make the wait longer than for one', () => {
  const { fail, waits } = limitsWith()
  for (let failure = 0; failure < ADDRESS_FAILURES_MAX; failure++) fail()
  const once = waits()
  for (let failure = 0; failure < 1_000; failure++) fail()
  assert.equal(waits(), once)
})

test('of more than LOGIN_FAILURES_TRACKED_MAX addresses those that failed longest ago are forgotten', () => {
  const { fail, waits } = limitsWith()
  for (let failure = 0; failure < ADDRESS_FAILURES_MAX; failure++) fail({ address: 'first' })
  for (let other = 1; other < LOGIN_FAILURES_TRACKED_MAX; other++) fail({ address: `other ${other}` })
  assert.ok(waits({ address: 'first' }))
  for (let other = 1; other <= LOGIN_FAILURES_TRACKED_MAX; other++) fail({ address: `another ${other}` })
  assert.equal(waits({ address: 'first' }), null)
})

test('of more than GOOD_LOGINS_MAX good logins those that were seen longest ago are forgotten', () => {
  const { fail, succeed, waits } = limitsWith()
  succeed({ credential: 'first' })
  for (let failure = 0; failure < ADDRESS_FAILURES_MAX; failure++) fail()
  for (let other = 1; other < GOOD_LOGINS_MAX; other++) succeed({ credential: `${other}` })
  assert.equal(waits({ credential: 'first' }), null)
  for (let other = 0; other < GOOD_LOGINS_MAX; other++) succeed({ credential: `another ${other}` })
  assert.ok(waits({ credential: 'first' }))
})

test('an address of IPv6 counts as its /64, one of IPv4 as itself in either notation', () => {
  for (const [address, source] of [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::7', '2001:db8:1:2::/64'],
    ['2001:0db8:0001:0002::7', '2001:db8:1:2::/64'],
    ['2001:db8::7', '2001:db8:0:0::/64'],
    ['2001:db8:1::4:5:6:7', '2001:db8:1:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::192.0.2.33', '64:ff9b:0:0::/64'],
  ] as const)
    assert.equal(sourceOf(address), source, address)
  const { fail, waits } = limitsWith()
  for (let failure = 0; failure < ADDRESS_FAILURES_MAX; failure++) fail({ address: `2001:db8:1:2::${failure}` })
  assert.ok(waits({ address: '2001:db8:1:2:ffff::1' }))
  assert.equal(waits({ address: '2001:db8:1:3::1' }), null)
})
