import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { Chained, checkLines } from './chained.ts'
import { linesOf } from './lines.ts'
import type { WireRecord } from './record.ts'

const record = (id: string, more: Partial<WireRecord> = {}): WireRecord => ({
  id,
  at: '2026-11-21T06:30:33.129Z',
  action: 'lock.acquire',
  outcome: 'success',
  subject: 'iam:IBMid-1',
  target: 'lock/orders/a b',
  link: 'ff',
  ...more,
})

function written(count: number): { lines: string[]; head: string } {
  const chained = new Chained()
  const lines = [chained.begin({ of: 'here' })]
  for (let id = 1; id <= count; id++) lines.push(chained.record(record(`r-${id}`)))
  return { lines: [...lines, chained.end()], head: chained.head }
}

test('an export that nobody touched is intact, whatever its length', async () => {
  for (const count of [0, 1, 20]) {
    const { lines, head } = written(count)
    assert.deepEqual(await checkLines([...lines, ''], head), { records: count, head, problems: [] })
    for (const line of lines) JSON.parse(line)
  }
})

test('an export of before it was told what was written is intact, and in one since a right cannot be changed', async () => {
  const before = [
    '{"export":{"version":1,"of":"here"},"chain":"83acebe5d4e333049d977b8aba3435696f56f4cd6a8fb385d148ca0b1f5f9364"}',
    '{"id":"t-3-91a46f09-1","at":"2026-11-21T06:30:33.129Z","action":"policy.write","outcome":"success","subject":"root","target":"policy/p-1","link":"ff","chain":"594fd199cf5fb6d6ee3ba700558f811d52b3c99740c848269a68b18047d14df1"}',
    '{"end":{"records":1},"chain":"7703417c1b081f41a2009525dc92fb94c4d0ab0e186ac1ee3ccabcb125367322"}',
  ]
  assert.deepEqual((await checkLines(before)).problems, [])
  const chained = new Chained()
  const changed = [{ kind: 'policy', id: 'p-1', value: { roles: ['manager'] } }]
  const since = [chained.begin({ of: 'here' }), chained.record(record('r-1', { changed })), chained.end()]
  assert.deepEqual((await checkLines(since)).problems, [])
  const { problems } = await checkLines(since.map(line => line.replace('manager', 'reader')))
  assert.equal(problems[0]?.line, 2)
})

const touched: { name: string; line: number; touch(lines: string[]): string[] }[] = [
  { name: 'edited', line: 5, touch: lines => lines.with(4, lines[4]!.replace('IBMid-1', 'IBMid-2')) },
  { name: 'deleted', line: 5, touch: lines => lines.toSpliced(4, 1) },
  { name: 'put in twice', line: 6, touch: lines => lines.toSpliced(5, 0, lines[4]!) },
  { name: 'moved', line: 5, touch: lines => lines.with(4, lines[5]!).with(5, lines[4]!) },
  { name: 'made up', line: 5, touch: lines => lines.with(4, '{"id":"r-x"}') },
  { name: 'cut off at the end', line: 11, touch: lines => lines.slice(0, -1) },
  { name: 'cut off within the last line', line: 12, touch: lines => lines.with(-1, lines.at(-1)!.slice(0, -9)) },
  { name: 'cut off at the beginning', line: 1, touch: lines => lines.slice(1) },
  { name: 'gone on', line: 13, touch: lines => [...lines, lines[3]!] },
]
for (const { name, line, touch } of touched)
  test(`an export in which a record was ${name} is found out, with the line`, async () => {
    const { problems } = await checkLines(touch(written(10).lines))
    assert.equal(problems[0]?.line, line)
  })

test('an export that was written anew has another head than the one that was kept', async () => {
  const { head } = written(10)
  const forged = written(9)
  assert.deepEqual((await checkLines(forged.lines)).problems, [])
  assert.equal((await checkLines(forged.lines, head)).problems.length, 1)
})

test('names may hold the separators that end a line elsewhere, and lines come in pieces and with the ends of other systems', async () => {
  const chained = new Chained()
  const target = 'lock/a\u2028b\u2029c\u0085d'
  const lines = [chained.begin({ of: 'here' }), chained.record(record('r-1', { target })), chained.end()]
  for (const end of ['\n', '\r\n'])
    for (const size of [1, 7, 10_000]) {
      const text = lines.map(line => line + end).join('')
      const pieces = Array.from({ length: Math.ceil(text.length / size) }, (_, index) =>
        text.slice(index * size, (index + 1) * size),
      )
      const check = await checkLines(linesOf(Readable.from(pieces)), chained.head)
      assert.deepEqual(check, { records: 1, head: chained.head, problems: [] })
    }
})
