import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { ASIDE_LINES_MAX, Aside } from './aside.ts'

type Done = (error: NodeJS.ErrnoException | null, written: number) => void

/** A reader that takes something when it is told to. */
function reader() {
  const waiting: { bytes: Uint8Array; done: Done }[] = []
  let taken = ''
  const aside = new Aside((_, bytes, done) => void waiting.push({ bytes, done }))
  const take = (count = Number.POSITIVE_INFINITY, code?: string) => {
    const { bytes, done } = waiting.shift()!
    if (code) return done(Object.assign(new Error(code), { code }), 0)
    const part = bytes.subarray(0, count)
    taken += Buffer.from(part).toString()
    done(null, part.length)
  }
  return { aside, take, waiting, taken: () => taken }
}

test('lines come in order, one write at a time, also where a write takes part of one or the pipe is full', async () => {
  const { aside, take, waiting, taken } = reader()
  for (const line of ['one', 'two', 'three']) aside.say(line)
  assert.equal(waiting.length, 1)
  take(2)
  take()
  take(0, 'EAGAIN')
  const flushed = aside.flushed()
  const isWaiting = () => waiting.length > 0
  while (!isWaiting()) await new Promise(resolve => setTimeout(resolve, 5))
  take()
  take()
  await flushed
  assert.equal(taken(), 'one\ntwo\nthree\n')
})

test('a reader that stands still costs ASIDE_LINES_MAX lines and a moment at the end; one that has gone nothing', async () => {
  const { aside, take, waiting, taken } = reader()
  for (let line = 0; line <= ASIDE_LINES_MAX; line++) aside.say(`${line}`)
  await aside.flushed()
  while (waiting.length > 0) take()
  assert.equal(taken().split('\n').length - 1, ASIDE_LINES_MAX)
  aside.say('to nobody')
  aside.say('nor this')
  take(0, 'EPIPE')
  await aside.flushed()
  assert.equal(waiting.length, 0)
})
