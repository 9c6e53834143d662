import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { HoldfastError, LockHeldError, LockLostError, UnavailableError } from '@holdfast/client'
import { type Asked, acquireWithin } from './waiting.ts'

const held = (reason = 'held') => new LockHeldError('a', 'held', { reason })
const lost = () => new LockLostError({ lock: 'a', token: 0, reason: 'expired' })
/** The service has answered that it cannot serve now. */
const draining = () => new UnavailableError('The outcome is unknown.')
const away = () => new UnavailableError('Cannot reach the service.', { cause: new Error('ECONNREFUSED') })
const outOfKeys = () =>
  new HoldfastError('quota_exceeded', 'full', { details: { limit: 'idempotency_keys', max: 100_000 } })

type Step = { takesMs?: number; error?: Error }

/** What was asked, when the service answers with these one after the other and then with a grant; and what came of it. */
async function wait(totalSeconds: number, ...steps: Step[]) {
  const asked: Omit<Asked, 'patienceMs'>[] = []
  let nowMs = 0.5
  let keys = 0
  const result = await acquireWithin(totalSeconds, {
    ask: async ({ waitSeconds, key, patienceMs }) => {
      asked.push({ waitSeconds, key })
      // A timer takes whole ones only.
      assert.ok(patienceMs >= 1 && Number.isInteger(patienceMs), `${patienceMs}`)
      // Whatever goes wrong, it ends so long after the wait.
      assert.ok(nowMs + patienceMs <= totalSeconds * 1_000 + 15_001, `${nowMs} + ${patienceMs}`)
      const { takesMs = 0, error } = steps.shift() ?? {}
      nowMs += takesMs
      if (error) throw error
      return 'granted'
    },
    newKey: () => `key ${++keys}`,
    nowMs: () => nowMs,
    pause: async delayMs => {
      nowMs += delayMs
    },
  }).catch((error: unknown) => error)
  return { asked, result, nowMs }
}

const once = { waitSeconds: 0, key: null }
const inLine = { waitSeconds: 60, key: 'key 1' }

test('what is free, or not waited for, is asked for once and without a key', async () => {
  assert.deepEqual(await wait(60), { asked: [once], result: 'granted', nowMs: 0.5 })
  const refused = await wait(0, { error: held() })
  assert.deepEqual(refused.asked, [once])
  assert.ok(refused.result instanceof LockHeldError)
})

test('a wait goes on under its key while the service is away', async () => {
  const error = away()
  const { asked, result } = await wait(
    60,
    { error: held() },
    { takesMs: 5_000, error: draining() },
    { error },
    { error },
  )
  assert.deepEqual(asked, [once, inLine, inLine, inLine, inLine])
  assert.equal(result, 'granted')
})

test('a service that answers that it cannot serve now is waited for; one that cannot be reached at first is not', async () => {
  assert.deepEqual((await wait(60, { error: draining() })).asked, [once, inLine])
  const unreachable = away()
  const { asked, result } = await wait(60, { error: unreachable })
  assert.deepEqual([asked, result], [[once], unreachable])
})

test('the wait begins when it is asked for: a first answer that comes after its end is the last', async () => {
  const error = draining()
  assert.deepEqual(await wait(5, { takesMs: 12_000, error }), { asked: [once], result: error, nowMs: 12_000.5 })
  const { asked } = await wait(20, { takesMs: 12_000, error })
  assert.deepEqual(asked, [once, { waitSeconds: 8, key: 'key 1' }])
})

test('when the wait is over and the service still away, that is said', async () => {
  const endless = Array.from({ length: 1_000 }, () => ({ error: away() }))
  const { result, nowMs } = await wait(60, { error: held() }, ...endless)
  assert.ok(result instanceof UnavailableError)
  assert.ok(nowMs >= 60_000 && nowMs <= 80_000, `${nowMs}`)
})

test('a wait that has ended unheard begins anew, for as long as is left', async () => {
  for (const error of [lost(), held('cancelled')]) {
    const { asked, result } = await wait(60, { error: held() }, { takesMs: 9_500, error: away() }, { error })
    assert.deepEqual(asked, [once, inLine, inLine, { waitSeconds: 51, key: 'key 2' }])
    assert.equal(result, 'granted')
  }
  const late = await wait(5, { error: held() }, { takesMs: 7_000, error: away() }, { error: lost() }, { error: held() })
  assert.deepEqual(late.asked.at(-1), { waitSeconds: 0, key: 'key 2' })
  assert.ok(late.result instanceof LockHeldError)
})

test('where no more keys are remembered it waits without one, and to the first outage', async () => {
  const error = away()
  const { asked, result } = await wait(60, { error: held() }, { error: outOfKeys() }, { error })
  assert.deepEqual(asked, [once, inLine, { waitSeconds: 60, key: null }])
  assert.equal(result, error)
})

test('a refusal ends the wait', async () => {
  for (const error of [held('timeout'), new HoldfastError('frozen', 'frozen'), new HoldfastError('forbidden', 'no')])
    assert.equal((await wait(60, { error: held() }, { error })).result, error)
})
