/** Who may list, watch or configure a lock is not told by that what somebody has written there. */
import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import type { Action } from '@holdfast/protocol/operation'
import type { Decision, DecisionPoint } from '../policies/port.ts'
import { person } from '../policies/testing.ts'
import type { Json } from '../testing.ts'
import { type TestDoors, withDoors } from './testing.ts'

type Reading = 'read' | 'hidden' | 'unknown'

/** The root key may do everything; ann has these actions, and reads as it is said at the moment. */
function deciding(reading: () => Reading, { isRemote }: { isRemote: boolean }): DecisionPoint {
  const others: Action[] = ['lock.list', 'lock.watch', 'lock.create', 'session.open']
  const decision = (permitted: boolean): Decision => ({ permitted, why: '', policy: null })
  const of = (action: Action): Decision => {
    if (action !== 'lock.read') return decision(others.includes(action))
    return reading() === 'unknown' ? { ...decision(false), isUnknown: true } : decision(reading() === 'read')
  }
  return {
    decide({ identity, action }) {
      if (identity.kind === 'root') return decision(true)
      return isRemote ? new Promise(resolve => setImmediate(() => resolve(of(action)))) : of(action)
    },
    mayAny: () => true,
    patterns: () => null,
    mayEnter: () => true,
  }
}

async function led({ ask }: TestDoors, name: string): Promise<{ session: string; token: number }> {
  const opened = (await ask('POST', '/v2/sessions', { body: {} })).body
  const session = `${opened.session_id}.${opened.session_secret}`
  const campaign = await ask('POST', `/v2/elections/${name}/campaign`, { session, body: { value: 'secret-1' } })
  assert.equal(campaign.status, 200)
  return { session, token: campaign.body.token }
}

/** What an observer hears of leaders. */
function observed(url: string, path: string) {
  let text = ''
  let look = () => {}
  const ended = new Promise<void>(resolve => {
    const sent = request(`${url}${path}`, { headers: { authorization: 'Bearer ann' } }, response => {
      response.setEncoding('utf8').on('data', part => {
        text += part
        look()
      })
      response.on('close', resolve)
    })
    sent.end()
  })
  const leaders = (): Json[] =>
    [...text.matchAll(/event: leader\ndata: (.*)\n/g)].map(([, json]) => JSON.parse(json ?? '').leader)
  const until = (wanted: (leaders: Json[]) => boolean) =>
    new Promise<void>(resolve => {
      look = () => wanted(leaders()) && resolve()
      look()
    })
  return { until, ended, leaders }
}

for (const isRemote of [false, true]) {
  const where = isRemote ? 'elsewhere' : 'here'
  test(`who may configure a lock is answered with its value only if it may be read, as decided ${where}`, async () => {
    let reading: Reading = 'hidden'
    await withDoors(
      async doors => {
        const { ask } = doors
        await led(doors, 'a')
        const asked = (method: string) => ask(method, '/v2/locks/a', { key: 'ann', body: { description: 'mine' } })
        for (const method of ['PUT', 'PATCH']) {
          for (reading of ['hidden', 'unknown'] as const) {
            const { status, body } = await asked(method)
            assert.ok(status < 300)
            assert.deepEqual([body.description, body.value], ['mine', undefined], `${method} ${reading}`)
          }
          reading = 'read'
          assert.equal((await asked(method)).body.value.value, 'secret-1', method)
        }
        // Of many none is fetched.
        const { body } = await ask('GET', '/v2/locks', { key: 'ann' })
        assert.equal(body.locks[0].value?.value, isRemote ? undefined : 'secret-1')
        reading = 'hidden'
        assert.equal((await ask('GET', '/v2/locks', { key: 'ann' })).body.locks[0].value, undefined)
      },
      { people: { ann: person({ instance: 'default' }) }, permissions: deciding(() => reading, { isRemote }) },
    )
  })

  test(`who may watch an election hears who leads, and the value only while it may be read, as decided ${where}`, async () => {
    let reading: Reading = 'hidden'
    await withDoors(
      async doors => {
        const { ask, listen } = doors
        const { session, token } = await led(doors, 'a')
        const path = '/v2/elections/a/observe'
        const stream = observed(await listen(), path)
        await stream.until(leaders => leaders.length > 0)
        const [first] = stream.leaders()
        assert.deepEqual([first.token, first.value], [token, undefined], 'who leads is said')
        const proclaim = (value: string) => ask('POST', '/v2/elections/a/proclaim', { session, body: { token, value } })
        reading = 'read'
        assert.equal((await proclaim('secret-2')).status, 200)
        await stream.until(leaders => leaders.at(-1).value === 'secret-2')
        reading = 'hidden'
        await proclaim('secret-3')
        await stream.until(leaders => leaders.at(-1).value === undefined)
        assert.ok(stream.leaders().every(({ value }) => value !== 'secret-3'))
        const { length } = stream.leaders()
        // What is not known is not said, and not said to be nothing.
        reading = 'unknown'
        await proclaim('secret-4')
        await stream.ended
        assert.equal(stream.leaders().length, length)
        assert.equal((await ask('GET', path, { key: 'ann' })).status, 503)
      },
      { people: { ann: person({ instance: 'default' }) }, permissions: deciding(() => reading, { isRemote }) },
    )
  })
}
