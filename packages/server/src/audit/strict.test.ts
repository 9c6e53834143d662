import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { withServer } from '../testing.ts'

test('strict: while no sink takes the trail nothing is changed, and releases, renewals and expiry go on', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-strict-'))
  const path = join(folder, 'sink', 'audit.jsonl')
  mkdirSync(join(folder, 'sink'))
  const args = ['--audit-mode', 'strict', '--audit-sink', `file:${path}`, '--audit-strict-after', '1s']
  try {
    await withServer(
      async server => {
        const acquire = (name: string, body: object = {}) => server.ask('POST', `/v1/locks/${name}/acquire`, { body })
        // The cursor begins where the log is now.
        await sleep(1_000)
        const kept = await acquire('kept', { ttl_seconds: 60 })
        assert.equal(kept.status, 200)
        assert.equal((await acquire('short', { ttl_seconds: 2 })).status, 200)
        // A file where the folder was: nothing can be written.
        rmSync(join(folder, 'sink'), { recursive: true, force: true })
        writeFileSync(join(folder, 'sink'), '')
        const session = await server.openSession()
        let refused = await acquire('next')
        for (; refused.status !== 503; refused = await acquire(`next-${Math.random()}`)) await sleep(100)
        assert.equal(refused.body.errors[0].code, 'unavailable')
        assert.ok(refused.body.errors[0].message.includes(path), refused.body.errors[0].message)
        assert.equal((await server.ask('PUT', '/v2/locks/x', { body: {} })).status, 503)
        assert.equal((await server.ask('POST', '/v2/sessions', { body: {} })).status, 503)
        // Whatever keeps, gives back, ends or looks.
        const lock = { lock_id: kept.body.lock_id }
        assert.equal((await server.ask('POST', '/v1/locks/kept/renew', { body: lock })).status, 200)
        assert.equal(
          (await server.ask('POST', `/v2/sessions/${session.id}/renew`, { session: session.handle, body: {} })).status,
          200,
        )
        assert.equal((await server.ask('GET', '/v1/locks/kept')).status, 200)
        assert.equal((await server.ask('POST', '/v1/locks/kept/release', { body: lock })).status, 200)
        for (let state = 'held'; state === 'held'; await sleep(100))
          state = (await server.ask('GET', '/v1/locks/short')).body.state
        rmSync(join(folder, 'sink'))
        for (let again = refused; again.status !== 200; await sleep(100))
          again = await acquire(`again-${Math.random()}`)
      },
      { args },
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
})
