/** `ETag` and `If-Match` of what is administered: of two who have read the same, the second does not undo what the first has done. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Answer, type TestServer, withServer } from '../testing.ts'

const code = (answer: Answer) => [answer.status, answer.body?.errors?.[0].code]
const tagOf = ({ headers }: Answer) => headers.etag ?? 'none'
const failed = [412, 'precondition_failed']

/** Two administrators change what both have read: `fields` are two changes. The tag that is left is answered. */
async function twoAdministrators(
  server: TestServer,
  { method, path, fields }: { method: string; path: string; fields: [object, object] },
): Promise<string> {
  const write = (body: object, tag: string) => server.ask(method, path, { body, headers: { 'if-match': tag } })
  const read = await server.ask('GET', path)
  assert.match(tagOf(read), /^"[0-9a-z]{16,}"$/)
  assert.equal(tagOf(await server.ask('GET', path)), tagOf(read), 'nothing has changed')
  const answers = await Promise.all(fields.map(body => write(body, tagOf(read))))
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 412])
  const [won, lost] = answers[0]?.status === 200 ? answers : [...answers].reverse()
  assert.ok(won && lost)
  assert.deepEqual([...code(lost), lost.body.errors[0].target.name], [...failed, 'If-Match'])
  const now = await server.ask('GET', path)
  assert.deepEqual([now.body, tagOf(now)], [won.body, tagOf(won)], 'nothing of the second is done')
  assert.notEqual(tagOf(now), tagOf(read))
  const other = '"0000000000000000"'
  for (const tag of [`W/${tagOf(now)}`, other, `${other}, W/${tagOf(now)}`, `"${tagOf(now).slice(1, -1)},", ${other}`])
    assert.deepEqual(code(await write(fields[0], tag)), failed)
  for (const tag of [
    'unquoted',
    `*, ${tagOf(now)}`,
    `${tagOf(now)} ${other}`,
    `${tagOf(now)}, unquoted`,
    `${tagOf(now)}"`,
    ',',
    '',
  ])
    assert.deepEqual(code(await write(fields[0], tag)), [400, 'invalid_request'], tag)
  const again = await write(fields[1], tagOf(now))
  assert.equal(again.status, 200)
  assert.equal((await write(fields[0], `"a,b" ,${other},, ${tagOf(again)}`)).status, 200, 'one of several')
  assert.equal((await write(fields[0], '*')).status, 200, 'whatever it is')
  assert.equal((await server.ask(method, path, { body: fields[1] })).status, 200, 'who does not ask is not held up')
  return tagOf(await server.ask('GET', path))
}

test('of two administrators who change the same policy the second is told that it has changed', async () => {
  await withServer(async server => {
    const policy = (lock: string) => ({ subjects: ['key:k-1'], roles: ['writer'], locks: [lock] })
    const made = await server.ask('POST', '/v2/policies', { body: policy('a/*') })
    const path = `/v2/policies/${made.body.id}`
    assert.equal(tagOf(await server.ask('GET', path)), tagOf(made))
    const fields: [object, object] = [policy('b/*'), policy('c/*')]
    const tag = await twoAdministrators(server, { method: 'PUT', path, fields })
    const headers = { 'if-match': '*' }
    assert.deepEqual(code(await server.ask('PUT', '/v2/policies/new', { body: policy('a'), headers })), failed)
    assert.equal((await server.ask('GET', '/v2/policies/new')).status, 404)
    const remove = (tagged: string) => server.ask('DELETE', path, { headers: { 'if-match': tagged } })
    assert.deepEqual(code(await remove(tagOf(made))), failed)
    assert.equal((await remove(tag)).status, 204)
  })
})

test('of two administrators who change the same instance the second is told that it has changed', async () => {
  await withServer(async server => {
    const body = { name: 'red', plan: 'premium', capacity_units: 1 }
    const made = await server.ask('POST', '/v2/instances', { body })
    const path = `/v2/instances/${made.body.id}`
    assert.equal(tagOf(await server.ask('GET', path)), tagOf(made))
    const fields: [object, object] = [{ capacity_units: 2 }, { overrides: { sessions: 5 } }]
    const tag = await twoAdministrators(server, { method: 'PATCH', path, fields })
    const disabled = await server.ask('POST', `${path}/disable`)
    assert.deepEqual(code(await server.ask('PATCH', path, { body: {}, headers: { 'if-match': tag } })), failed)
    const late = { body: { name: 'late' }, headers: { 'if-match': tagOf(disabled) } }
    assert.equal((await server.ask('PATCH', path, late)).body.name, 'late')
  })
})

test('of two who change the same configuration of a lock the second is told that it has changed', async () => {
  await withServer(async server => {
    await server.ask('PUT', '/v2/locks/a', { body: { description: 'x' } })
    const fields: [object, object] = [{ description: 'one' }, { description: 'two' }]
    const tag = await twoAdministrators(server, { method: 'PUT', path: '/v2/locks/a', fields })
    const remove = (tagged: string) => server.ask('DELETE', '/v2/locks/a', { headers: { 'if-match': tagged } })
    const before = `"${(Number.parseInt(tag.slice(1, -1), 36) - 1).toString(36).padStart(16, '0')}"`
    assert.deepEqual(code(await remove(`${before}, "b"`)), failed)
    assert.equal((await remove(`${before}, ${tag}`)).status, 204)
    assert.deepEqual(code(await server.ask('PUT', '/v2/locks/a', { body: {}, headers: { 'if-match': tag } })), failed)
  })
})
