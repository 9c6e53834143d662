/** What a command of this repository takes: said once, and then read, told by `--help`, and expected of whoever mistypes it. */
import { parseArgs } from 'node:util'

type Option = { about: string } & (
  | { is: 'flag' }
  | { is: 'number'; default?: number; least?: number }
  | { is: 'text'; value: string; default?: string }
  | { is: 'name'; value: string; known: readonly string[]; default?: string }
  /** With commas between them. */
  | { is: 'names'; value: string; known: readonly string[] }
)

export type Command = {
  /** As it is called: `npm run chaos`. */
  name: string
  about: string
  options: Readonly<Record<string, Option>>
  /** What may be named beside the options; without this, nothing. `known`: nothing else. `count`: so many, no more and no fewer. */
  rest?: { value: string; about: string; known?: readonly string[]; count?: number }
}

type Given<O extends Option> = O extends { is: 'number' } ? number : O extends { is: 'names' } ? string[] : string
type ValueOf<O extends Option> = O extends { is: 'flag' }
  ? boolean
  : Given<O> | (O extends { default: unknown } ? never : undefined)
type Values<C extends Command> = { -readonly [Name in keyof C['options']]: ValueOf<C['options'][Name]> } & {
  rest: string[]
}

type Read<C extends Command> = { is: 'values'; values: Values<C> } | { is: 'help' } | { is: 'mistake'; text: string }

/** What was asked for. Does not come back after `--help`, which ends with 0, nor after a mistake, which ends with 2. */
export function commandLine<const C extends Command>(command: C): Values<C> {
  const read = readArguments(command, process.argv.slice(2))
  if (read.is === 'values') return read.values
  if (read.is === 'help') {
    console.log(helpOf(command))
    process.exit(0)
  }
  console.error(`${read.text}\n\n${helpOf(command)}`)
  process.exit(2)
}

export function readArguments<const C extends Command>(command: C, args: readonly string[]): Read<C> {
  const options = Object.entries(command.options)
  const types = options.map(([name, { is }]) => [name, { type: is === 'flag' ? 'boolean' : 'string' }] as const)
  try {
    const { values, positionals }: { values: Record<string, unknown>; positionals: string[] } = parseArgs({
      args: [...args],
      options: { ...Object.fromEntries(types), help: { type: 'boolean', short: 'h' } },
      allowPositionals: command.rest !== undefined,
    })
    if (values.help) return { is: 'help' }
    const named = options.map(([name, option]) => [name, read(`--${name}`, option, values[name])])
    const rest = command.rest ? restOf(command.rest, positionals) : []
    return { is: 'values', values: { ...Object.fromEntries(named), rest } }
  } catch (error) {
    return { is: 'mistake', text: (error as Error).message }
  }
}

function read(name: string, option: Option, given: unknown): unknown {
  if (option.is === 'flag') return given === true
  if (typeof given !== 'string') return 'default' in option ? option.default : undefined
  if (option.is === 'text') return given
  if (option.is === 'name') return nameOf(name, option.known, given)
  if (option.is === 'names') return given.split(',').map(word => nameOf(name, option.known, word.trim()))
  const { least = 1 } = option
  const number = given.trim() === '' ? Number.NaN : Number(given)
  if (number >= least && number <= Number.MAX_SAFE_INTEGER) return number
  throw new Error(`${name} takes a number from ${least}, not ${JSON.stringify(given)}.`)
}

function restOf({ value, known, count }: NonNullable<Command['rest']>, words: readonly string[]): string[] {
  if (count !== undefined && words.length !== count)
    throw new Error(
      `${value}: ${count} expected, not ${words.length}${words.length > 0 ? ` (${words.join(' ')})` : ''}.`,
    )
  return words.map(word => (known ? nameOf(value, known, word) : word))
}

function nameOf(where: string, known: readonly string[], word: string): string {
  if (known.includes(word)) return word
  throw new Error(`${where}: there is no ${JSON.stringify(word)}. Known: ${known.join(', ')}.`)
}

export function helpOf({ name, about, options, rest }: Command): string {
  const rows = Object.entries(options).map(([option, what]): [string, string] => {
    const value = what.is === 'flag' ? '' : what.is === 'number' ? ' N' : ` ${what.value}`
    const otherwise = 'default' in what && what.default !== undefined ? ` (${what.default})` : ''
    return [`--${option}${value}`, `${what.about}${otherwise}`]
  })
  if (rest) rows.unshift([rest.value, rest.about])
  rows.push(['--help', 'this'])
  const width = Math.max(...rows.map(([left]) => left.length))
  const named = rest?.count === undefined ? rest && `[${rest.value}]` : rest.value
  const usage = [name, '--', named, '[OPTION …]'].filter(word => word !== undefined).join(' ')
  return [usage, '', about, '', ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)].join('\n')
}
