/**
 * `npm run mutate [-- --room locks|shards] [--sample N] [--seed S] [--file TEXT] [--workers N] [--rounds N]
 * [--at-least PERCENT]`: changes the sources of a room in small
 * ways, one after another, and sees whether its tests notice. Prints those that no test has noticed. Ends with 1 when fewer
 * than 85 % were.
 */
import { parseArgs } from 'node:util'
import { rooms } from './rooms.ts'
import { isKilled, mutantsIn, mutate, type Tried } from './run.ts'

const AT_LEAST = 85
const PROGRESS_MUTANTS = 25
const SHOWN_CHARACTERS = 90

const { values } = parseArgs({
  options: {
    room: { type: 'string', default: 'locks' },
    sample: { type: 'string' },
    seed: { type: 'string', default: '1' },
    file: { type: 'string', default: '' },
    workers: { type: 'string' },
    rounds: { type: 'string' },
    'at-least': { type: 'string', default: String(AT_LEAST) },
  },
})
const chosen = rooms.find(({ name }) => name === values.room)
if (!chosen) throw new Error(`There is no room ${values.room}. Known: ${rooms.map(({ name }) => name).join(', ')}.`)
/** Fewer rounds of tests: a quicker look, and a lower score. */
const room = {
  ...chosen,
  rounds: chosen.rounds.slice(0, values.rounds === undefined ? undefined : Number(values.rounds)),
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const beganMs = performance.now()
const { mutants, equivalent } = mutantsIn(room, values.file)
let killed = 0
const tried = await mutate(room, {
  ...{
    seed: Number(values.seed),
    filter: values.file,
    sample: values.sample === undefined ? null : Number(values.sample),
  },
  ...(values.workers !== undefined && { workers: Number(values.workers) }),
  tried(one, done, of) {
    if (isKilled(one)) killed++
    else console.log(shown(one))
    if (done % PROGRESS_MUTANTS === 0) console.log(`  ${done} of ${of}: ${percent(killed, done)} % killed`)
  },
})
report(tried)

function report(all: readonly Tried[]): void {
  const files = [...new Set(all.map(({ mutant }) => mutant.file))].sort()
  for (const file of files) {
    const ours = all.filter(({ mutant }) => mutant.file === file)
    console.log(`${file}: ${ours.filter(isKilled).length} of ${ours.length}`)
  }
  const late = all.filter(({ fate }) => fate === 'late').length
  const score = percent(killed, all.length)
  const seconds = Math.round((performance.now() - beganMs) / 1_000)
  console.log(
    `${room.name}: ${killed} of ${all.length} mutants killed (${score} %; ${late} of them never ended), of ${mutants.length} in the room; ` +
      `${equivalent} left out as equivalent; seed ${values.seed}, ${seconds} s`,
  )
  process.exitCode = all.length > 0 && score >= Number(values['at-least']) ? 0 : 1
}

function shown({ mutant, fate }: Tried): string {
  const cut = (text: string) => {
    const line = text.replace(/\s+/g, ' ')
    return line.length > SHOWN_CHARACTERS ? `${line.slice(0, SHOWN_CHARACTERS)} …` : line
  }
  return `${mutant.file}:${mutant.line} ${fate}, ${mutant.operator}: ${cut(mutant.from)} → ${cut(mutant.to)}`
}

function percent(part: number, whole: number): number {
  return Math.floor((1_000 * part) / Math.max(1, whole)) / 10
}
