/** The judge's own test: a history that is spoilt in one place is refused, with the invariant that it breaks. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import type { Entry, Grant } from '../../packages/server/src/locks/model.ts'
import { acquireOf, World } from '../simulation/core-world.ts'
import { Judge, Violation } from './judge.ts'

type Event = { entry: Entry; now: number }

/** Three holders of one lock, one after another, the second of whom hands it on; and a set. */
function history(): Event[][] {
  const world = new World()
  const steps: Event[][] = []
  const act = (command: Parameters<World['do']>[0]) => {
    const from = world.log.length
    const reply = world.do(command)
    steps.push(world.log.slice(from).flatMap(batch => batch.entries.map(entry => ({ entry, now: world.now }))))
    return reply
  }
  const open = () => {
    const reply = act({ type: 'open_session', by: 'test', ttlMs: 60_000, labels: null })
    assert(reply.ok === true && reply.type === 'session')
    return reply.session.id
  }
  const held = (lock: string) => world.state.locks.get(lock)!.grants[0]!
  const release = (session: string, lock: string) =>
    act({ type: 'release', by: 'test', session, grants: [{ lock, token: held(lock).token }], request: null })
  const [a, b, c] = [open(), open(), open()]
  act(acquireOf(a, ['x']))
  act(acquireOf(b, ['x'], { waitMs: null }))
  act(acquireOf(c, ['x', 'y'], { waitMs: null }))
  release(a, 'x')
  act({ type: 'transfer', by: 'test', session: b, lock: 'x', token: held('x').token, toSession: a, request: null })
  release(a, 'x')
  release(c, 'x')
  act({ type: 'close_session', by: 'test', session: c })
  return steps
}

function judge(steps: Event[][]): void {
  const judged = new Judge()
  for (const step of steps) {
    for (const { entry, now } of step) judged.entry(entry, now)
    judged.settle()
  }
}

/** A copy with the entries changed by `change`, which gets each with its place; null drops it. */
function spoilt(change: (entry: Entry, place: number) => Entry | null): Event[][] {
  let place = 0
  return history().map(step =>
    step.flatMap(({ entry, now }) => {
      const changed = change(structuredClone(entry), place++)
      return changed ? [{ entry: changed, now }] : []
    }),
  )
}

type Granted = Extract<Entry, { record: 'grant' }> & { value: Grant }

function isGrantTo(entry: Entry, session: string, lock: string): entry is Granted {
  return entry.record === 'grant' && entry.type === 'granted' && entry.value?.session === session && entry.lock === lock
}

const sessions = history()
  .flat()
  .flatMap(({ entry }) => (entry.type === 'session_opened' && entry.record === 'session' ? [entry.session] : []))
const [, b = '', c = ''] = sessions

test('the history as it is passes', () => {
  judge(history())
})

const cases: [string, RegExp, Event[][]][] = [
  ['a release dropped', /^I1/, spoilt(entry => (entry.type === 'released' ? null : entry))],
  [
    'a token that was given before',
    /^I2/,
    spoilt(entry => (isGrantTo(entry, b, 'x') ? { ...entry, token: 1, value: { ...entry.value, token: 1 } } : entry)),
  ],
  [
    'a place in line given to another',
    /^I7/,
    spoilt(entry => (isGrantTo(entry, b, 'x') ? { ...entry, value: { ...entry.value, session: c } } : entry)),
  ],
  ['half a set', /^I14/, spoilt(entry => (isGrantTo(entry, c, 'y') ? null : entry))],
  ['a waiter who is granted nothing', /^I14|^I8/, spoilt(entry => (isGrantTo(entry, b, 'x') ? null : entry))],
  ['a session that ends and holds on', /^I11/, spoilt(entry => (entry.type === 'session_closed' ? null : entry))],
  [
    'an end of what is not there',
    /^I1/,
    spoilt(entry =>
      entry.type === 'transferred' && 'token' in entry ? { ...entry, token: entry.token + 1_000 } : entry,
    ),
  ],
  ['a wait that is forgotten', /^I7/, spoilt(entry => (entry.type === 'queued' ? null : entry))],
]

for (const [name, reason, steps] of cases) {
  test(`refused: ${name}`, () => {
    assert.throws(
      () => judge(steps),
      (error: unknown) => error instanceof Violation && reason.test(error.message),
    )
  })
}

test('refused: two steps in the wrong order, unless it makes no difference', () => {
  const steps = history()
  const exchangeable: number[] = []
  for (let place = 0; place + 1 < steps.length; place++) {
    const swapped = [...steps]
    ;[swapped[place], swapped[place + 1]] = [steps[place + 1]!, steps[place]!]
    try {
      judge(swapped)
      exchangeable.push(place)
    } catch (error) {
      if (!(error instanceof Violation)) throw error
    }
  }
  // Who opens a session first; who of two is told first to wait, as their tickets say who came first; and whether the last to wait came
  // before the first was served.
  assert.deepEqual(exchangeable, [0, 1, 2, 4, 5])
})
