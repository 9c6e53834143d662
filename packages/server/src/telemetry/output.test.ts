import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import { LogOutput } from './output.ts'

const LINE = `${'x'.repeat(1_023)}\n`

/** Standard output whose reader reads when it is told to. */
function pipe() {
  let isReading = false
  let waiting: (() => void) | null = null
  const read: string[] = []
  const stream = new Writable({
    write(chunk, _encoding, done) {
      read.push(String(chunk))
      if (isReading) done()
      else waiting = done
    },
  })
  const readOn = () => {
    isReading = true
    waiting?.()
  }
  return { stream, read, readOn }
}

function clock() {
  const due: (() => void)[] = []
  return {
    due,
    wallMs: () => 7,
    after(_delayMs: number, callback: () => void) {
      due.push(callback)
      return () => undefined
    },
  }
}

// What the log uses of a stream is what a Writable has; the rest of a WriteStream is a terminal's.
const outputOn = (stream: Writable, time = clock()) => new LogOutput(stream as NodeJS.WriteStream, time)

test('what a reader does not take is kept up to a limit, left out beyond it, and said when it reads again', async () => {
  const { stream, read, readOn } = pipe()
  const output = outputOn(stream)
  for (let written = 0; written < 2_000; written++) output.write(LINE)
  assert.ok(stream.writableLength < 1_200_000, `${stream.writableLength} bytes are kept`)
  readOn()
  await output.flushed()
  const kept = read.filter(text => text === LINE).length
  const told = JSON.parse(read.find(text => text.startsWith('{')) ?? '{}')
  assert.deepEqual([told.level, told.time, told.missing], [40, 7, 2_000 - kept])
  output.write('later\n')
  assert.equal(read.at(-1), 'later\n')
})

test('the end waits for a reader that stands still no longer than its time', async () => {
  const { stream } = pipe()
  const time = clock()
  const output = outputOn(stream, time)
  output.write(LINE)
  const flushed = output.flushed()
  assert.equal(time.due.length, 1)
  time.due[0]?.()
  await flushed
})

test('when the reader has gone, lines are forgotten and nothing fails', async () => {
  const { stream, read } = pipe()
  const output = outputOn(stream)
  stream.destroy(new Error('EPIPE'))
  await new Promise(resolve => setImmediate(resolve))
  output.write(LINE)
  await output.flushed()
  assert.deepEqual(read, [])
})
