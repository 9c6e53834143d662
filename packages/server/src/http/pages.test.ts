import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withServer } from '../testing.ts'

test('a page begins where the one before says: what is no such place is refused, and never taken for the end', async () => {
  await withServer(async server => {
    await server.ask('POST', '/v1/locks/a/acquire', { body: {} })
    const { id } = (await server.ask('GET', '/v2/locks/a/history')).body.events[0]
    const foreign = id.replace(/^[^-]*/, '00000000')
    const paged = [
      '/v1/locks',
      '/v2/locks',
      '/v2/credentials',
      '/v2/roles',
      '/v2/policies',
      '/v2/instances',
      '/v2/audit',
    ]
    for (const path of [...paged, '/v2/locks/a/history', '/v2/locks/nobody-has-it/history'])
      for (const start of ['zzz', 'none', '_w', '0-0-0', foreign, `${id}-1`]) {
        const { status, body } = await server.ask('GET', `${path}?start=${start}`)
        assert.deepEqual([status, body.errors?.[0].target.name], [400, 'start'], `${path}?start=${start}`)
      }
  })
})
