/** The mutants themselves: what is changed, where, and that a lane tells one that is noticed from one that is not. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { type Mutant, mutantsOf } from './mutants.ts'
import { rooms } from './rooms.ts'
import { mutantsIn } from './run.ts'
import { Lane } from './try.ts'

const texts = (source: string) =>
  mutantsOf('any.ts', source).map(({ start, end, to }) => source.slice(0, start) + to + source.slice(end))

test('each operator changes what it is for, among types that stay as they are', () => {
  const cases: [string, string[]][] = [
    ['export const f = (a: number, b: number): boolean => a < b', ['a <= b', 'a >= b', '() => undefined']],
    ['let x: number = a && b', ['((a) || (b))']],
    ['let y = a ?? b', ['((a) && (b))']],
    ['const z: number = (a as number) - 1', ['+ 1']],
    ['function g(): void { h(1) }', ['function g(): void {}', '{ ; }']],
    ["const t = a?.b === 'c'", ['a.b ===', '!==', "=== ''"]],
    ['const u = list.filter(one)', ['const u = list']],
    ['const v = !w', ['const v = w']],
    ['n++', ['n--']],
    ['const w = [1]', ['= []']],
    ['if (a) b()', ['if (false) b()', 'if (true) b()', 'if (a) ;']],
  ]
  for (const [source, expected] of cases) {
    const found = texts(source)
    for (const one of expected)
      assert.ok(
        found.some(text => text.includes(one)),
        `${one} among ${JSON.stringify(found)}`,
      )
  }
})

test('imports, and the errors that only people read, are left alone', () => {
  assert.deepEqual(texts("import { a } from 'b'\nimport type { C } from 'd'"), [])
  assert.ok(texts("throw new LogBroken('of ' + name)").every(text => text.includes("'of ' + name")))
})

test('each room has mutants, each of which is where it says', () => {
  for (const room of rooms) {
    const { mutants } = mutantsIn(room)
    assert.ok(mutants.length > 1_000, `${room.name} has only ${mutants.length}`)
    assert.ok(mutants.every(({ from, to }) => from !== to))
  }
})

test('a mutant that a test notices is killed, one of a line that no test reads survives, one that runs in circles is late', async () => {
  const tests = ['packages/server/src/locks/lock-table.test.ts']
  const lane = new Lane([{ tests, msMax: 20_000 }])
  const hasty = new Lane([{ tests, msMax: 3_000 }])
  const { mutants } = mutantsIn(rooms[0]!, 'lock-table.ts')
  const fates = new Set<string>()
  try {
    assert.equal((await lane.fateOf(null)).fate, 'survived', 'the tests are green as they are')
    for (const mutant of mutants.filter(({ operator }) => operator === 'block').slice(0, 3))
      fates.add((await lane.fateOf(mutant)).fate)
    assert.ok(fates.has('killed'), [...fates].join())
    const block = mutants.find(({ operator }) => operator === 'block')!
    const circle: Mutant = { ...block, to: '{ for (;;); }' }
    assert.equal((await hasty.fateOf(circle)).fate, 'late')
    const elsewhere = mutantsIn(rooms[0]!, 'deadlock.ts').mutants[0]!
    assert.match((await lane.fateOf(elsewhere)).fate, /not loaded|survived/)
  } finally {
    lane.stop()
    hasty.stop()
  }
})
