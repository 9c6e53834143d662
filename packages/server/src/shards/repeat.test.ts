/** What may be asked a second time when nobody knows what came of the first: each kind of command, so that a new one is thought about. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Command } from '../locks/model.ts'
import { isRepeatable } from './repeat.ts'

/** `named`: with a request id, by which the shard knows it again. */
type May = 'always' | 'named' | 'never'

const may: Record<Command['type'], May> = {
  // Reads, and what shows that a session lives.
  ...{ renew: 'always', renew_single: 'always', show: 'always', list: 'always', queue: 'always', validate: 'always' },
  ...{ read_value: 'always', show_session: 'always', list_freezes: 'always' },
  // Twice comes to the same.
  ...{ open_session: 'always', freeze: 'always', evict: 'always' },
  ...{ acquire: 'named', release: 'named', cancel: 'named', transfer: 'named', write_value: 'named' },
  // A second time they end, or change, what has come to be since: the grant of the next one, what another operator has set.
  ...{ force_release: 'never', preempt: 'never', configure: 'never', delete_lock: 'never', thaw: 'never' },
  ...{ release_single: 'never', close_session: 'never', abandon: 'never' },
  // Only the owner itself decides them.
  ...{ expire_session: 'never', warn_hold: 'never', end_hold: 'never', end_delay: 'never', end_wait: 'never' },
  ...{ forget_key: 'never', pump: 'never' },
}

for (const [type, expected] of Object.entries(may))
  test(`of unknown outcome, ${type} is asked again: ${expected}`, () => {
    const of = (request: number | null) => isRepeatable({ type, session: 's', request } as unknown as Command)
    assert.deepEqual(
      { named: of(7), unnamed: of(null) },
      { named: expected !== 'never', unnamed: expected === 'always' },
    )
  })

test('over REST an acquire that makes its own session is known by its key', () => {
  const of = (key: unknown) => isRepeatable({ type: 'acquire', session: { key }, request: null } as unknown as Command)
  assert.deepEqual([of({ key: 'k', digest: '' }), of(null)], [true, false])
})
