import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import type { ErrorCode } from '@holdfast/protocol/errors'
import { HoldfastError } from './errors.ts'
import { type Body, ReleaseRequest } from './requests.ts'

const one: Body = { id: 1, type: 'release', name: 'a', token: 7 }
const several: Body = { id: 1, type: 'release_all', grants: [{ name: 'a', token: 7 }] }

/** How the release ends when it is refused with this code. */
function endOf(body: Body, code: ErrorCode): 'released' | 'failed' | 'open' {
  let end: 'released' | 'failed' | 'open' = 'open'
  const request = new ReleaseRequest(
    body,
    () => {
      end = 'released'
    },
    () => {
      end = 'failed'
    },
  )
  request.fail(new HoldfastError(code, 'refused'))
  return end
}

test('what is no grant of the session any more is given up, whatever is known of its end', () => {
  for (const code of ['lock_lost', 'stale_token', 'not_found'] as const)
    assert.equal(endOf(one, code), 'released', code)
  for (const code of ['lock_lost', 'stale_token', 'storage_full'] as const)
    assert.equal(endOf(several, code), 'failed', code)
  assert.equal(endOf(one, 'forbidden'), 'failed')
})
