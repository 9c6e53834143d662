/**
 * Everything that can be asked of the core, and all that it answered, wrote and told when it was last looked at. The text of entries is what logs on disks are
 * made of, and the answers are what clients read: a change of either must be meant. `TEST_RECORD=1` records anew; the difference is then to be read.
 */
import { strict as assert } from 'node:assert'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { picture } from '../../../../test/simulation/core-world.ts'
import { play } from '../../../../test/simulation/script.ts'
import { Tape } from '../../../../test/simulation/tape.ts'
import { apply } from './apply.ts'
import { carry, liveIn, recordsBefore } from './carry.ts'
import { decodeEntry, type Encoded, encodeEntry } from './encoding.ts'
import { newState } from './state.ts'

const file = fileURLToPath(new URL('./recorded.jsonl', import.meta.url))

test('what is asked is answered, written and told as it was recorded', () => {
  const tape = new Tape()
  play(tape)
  if (process.env.TEST_RECORD) writeFileSync(file, tape.lines.map(line => `${JSON.stringify(line)}\n`).join(''))
  const kept = readFileSync(file, 'utf8').trimEnd().split('\n')
  for (const [place, line] of kept.entries())
    assert.deepEqual(tape.lines[place], JSON.parse(line), `line ${place + 1} of ${file}`)
  assert.equal(tape.lines.length, kept.length)
})

test('the text of the entries brings back the state that made them', () => {
  const tape = new Tape()
  play(tape)
  const state = newState(1)
  for (const entry of tape.entries) {
    const text = encodeEntry(entry)
    const read = decodeEntry(JSON.parse(text) as Encoded)
    assert.equal(encodeEntry(structuredClone(read)), text)
    apply(state, read)
  }
  assert.deepEqual(picture(state), picture(tape.state))
})

test('a record that is carried counts for the batch that carries it and no more for its own, and is carried once', () => {
  const tape = new Tape()
  play(tape)
  const { state } = tape
  const before = state.seq + 1
  const inOld = () => Array.from({ length: before }, (_, seq) => liveIn(state, seq)).reduce((sum, one) => sum + one, 0)
  const old = [...recordsBefore(state, before)]
  const records = new Set(old.map(({ record }) => record))
  assert.deepEqual([...records].sort(), [
    'config',
    'delay',
    'freeze',
    'grant',
    'key',
    'request',
    'session',
    'settled',
    'value',
    'wait',
  ])
  assert.equal(inOld(), old.length)
  for (const [place, entry] of old.entries()) {
    assert.equal(carry(state, entry, { before: 0, seq: before }), false, 'what is new enough stays where it is')
    assert.ok(carry(state, entry, { before, seq: before }))
    assert.equal(carry(state, entry, { before, seq: before + 1 }), false)
    assert.deepEqual([liveIn(state, before), inOld()], [place + 1, old.length - place - 1])
  }
  assert.deepEqual([...recordsBefore(state, before)], [])
  const again = newState(1)
  for (const entry of old) apply(again, decodeEntry(JSON.parse(encodeEntry(entry)) as Encoded))
  assert.deepEqual(picture(again), picture(state))
})
