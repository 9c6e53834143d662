/** `npm run mutate`: changes the sources of a room in small ways, one after another, and sees whether its tests notice. */
import { commandLine } from '../../scripts/command-line.ts'
import { rooms } from './rooms.ts'
import { isKilled, mutantsIn, mutate, type Tried } from './run.ts'

const AT_LEAST = 85
const PROGRESS_MUTANTS = 25
const SHOWN_CHARACTERS = 90

const values = commandLine({
  name: 'npm run mutate',
  about:
    'Changes the sources of a room in small ways, one after another, and prints those that its tests do not notice. Ends with 1 when fewer were noticed than asked for.',
  options: {
    room: {
      is: 'name',
      value: rooms.map(({ name }) => name).join('|'),
      known: rooms.map(({ name }) => name),
      default: 'locks',
      about: 'whose sources',
    },
    sample: { is: 'number', about: 'so many changes of all' },
    seed: { is: 'number', default: 1, about: 'of the sample' },
    file: { is: 'text', value: 'TEXT', default: '', about: 'only in files whose path has it' },
    workers: { is: 'number', about: 'processes' },
    rounds: { is: 'number', about: 'fewer rounds of tests: a quicker look, and a lower score' },
    'at-least': { is: 'number', default: AT_LEAST, about: 'percent that must be noticed' },
  },
})
const chosen = rooms.find(({ name }) => name === values.room)!
const room = {
  ...chosen,
  rounds: chosen.rounds.slice(0, values.rounds),
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const beganMs = performance.now()
const { mutants, equivalent } = mutantsIn(room, values.file)
let killed = 0
const tried = await mutate(room, {
  ...{
    seed: values.seed,
    filter: values.file,
    sample: values.sample ?? null,
  },
  ...(values.workers !== undefined && { workers: values.workers }),
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
  process.exitCode = all.length > 0 && score >= values['at-least'] ? 0 : 1
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
