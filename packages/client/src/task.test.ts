import assert from 'node:assert/strict'
import { test } from 'node:test'
import { turn } from './testing/clock.ts'
import { Script } from './testing/scripted.ts'

/** What an acquire of each name was sent as. */
function tasksOf(script: Script): Map<string, string | undefined> {
  const asked = script.connection.received.flatMap(message => (message.type === 'acquire' ? [message] : []))
  return new Map(asked.map(({ name, task }) => [name, task]))
}

/** Inside a routine that holds `outer`. */
async function inside(routine: (script: Script) => unknown): Promise<Script> {
  const script = new Script()
  script.holdfast.using('outer', () => routine(script)).catch(() => {})
  await script.welcome()
  await script.grant(7)
  return script
}

test('a routine’s task is continued by one thing at a time: what runs beside it is no deadlock with it', async () => {
  const never = new Promise(() => {})
  const script = await inside(({ holdfast }) =>
    Promise.all(['a', 'b', 'c'].map(name => holdfast.using(name, () => never))),
  )
  const tasks = tasksOf(script)
  assert.equal(tasks.get('a'), tasks.get('outer'))
  assert.equal(new Set(tasks.values()).size, 3)
})

test('nested routines are one task, however deep', async () => {
  const script = await inside(({ holdfast }) =>
    holdfast.using('a', () => holdfast.using('b', () => holdfast.acquire('c'))),
  )
  for (const [index, name] of ['a', 'b'].entries()) {
    assert.equal(script.connection.last('acquire').name, name)
    await script.grant(8 + index)
  }
  assert.deepEqual(new Set(tasksOf(script).values()).size, 1)
  assert.equal(script.connection.last('acquire').name, 'c')
})

test('one thing after the other goes on with the task, whether the one before was granted, refused or given up', async () => {
  const script = await inside(async ({ holdfast }) => {
    const lock = await holdfast.acquire('a')
    void lock.release()
    await holdfast.tryAcquire('b')
    await holdfast.acquire('c', { signal: AbortSignal.abort() }).catch(() => {})
    const held = await holdfast.acquire('d')
    // Not known to come after `d`: it may run beside it.
    holdfast.acquire('e').catch(() => {})
    holdfast.acquire('f', { within: held }).catch(() => {})
  })
  await script.grant(8)
  const { id } = script.connection.last('acquire')
  await script.connection.say({ type: 'reply', id, error: { code: 'lock_held', message: 'Held.', reason: 'held' } })
  await script.grant(9)
  await turn()
  const tasks = tasksOf(script)
  const own = tasks.get('outer')
  for (const name of ['a', 'b', 'd', 'f']) assert.equal(tasks.get(name), own, name)
  assert.notEqual(tasks.get('e'), own)
  assert.ok(tasks.has('e'))
})

test('a lock that was lost does not keep its routine’s task busy', async () => {
  const later = Promise.withResolvers<void>()
  const script = await inside(async ({ holdfast }) => {
    await holdfast.acquire('a')
    await later.promise
    await holdfast.acquire('b')
  })
  await script.grant(8)
  await script.connection.say({ type: 'lost', name: 'a', token: 8, reason: 'forced', changes: 1 })
  later.resolve()
  await turn()
  const tasks = tasksOf(script)
  assert.equal(tasks.get('b'), tasks.get('outer'))
})

test('deadlocks are counted by task: each acquire its own, but within a routine its own task goes on', async () => {
  const script = new Script()
  const inner = Promise.withResolvers<void>()
  script.holdfast
    .using('a', async () => {
      await inner.promise
      await script.holdfast.acquire('b')
    })
    .catch(() => {})
  script.holdfast.acquire('c').catch(() => {})
  await script.welcome()
  const [first, other] = script.connection.received.flatMap(message => (message.type === 'acquire' ? [message] : []))
  assert.notEqual(first!.task, other!.task)
  await script.connection.say(script.granted({ id: first!.id, name: 'a', token: 7 }))
  inner.resolve()
  await turn()
  assert.equal(script.connection.last('acquire').name, 'b')
  assert.equal(script.connection.last('acquire').task, first!.task)
})
