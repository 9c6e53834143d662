import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { helpOf, readArguments } from '../scripts/command-line.ts'
import { nodeFlags } from '../scripts/node.mjs'

const command = {
  name: 'npm run example',
  about: 'An example.',
  options: {
    fast: { is: 'flag', about: 'not slow' },
    seeds: { is: 'number', default: 7, about: 'how many' },
    offset: { is: 'number', least: 0, about: 'from where' },
    room: { is: 'name', value: 'ROOM', known: ['a', 'b'], default: 'a', about: 'where' },
    only: { is: 'names', value: 'ID,…', known: ['x', 'y'], about: 'these' },
    file: { is: 'text', value: 'FILE', about: 'kept there' },
  },
  rest: { value: 'WORLD…', known: ['w'], about: 'worlds' },
} as const

const mistake = (...args: string[]) => {
  const read = readArguments(command, args)
  return read.is === 'mistake' ? read.text : read.is
}

test('what was asked for, and what is meant where nothing was', () => {
  assert.deepEqual(readArguments(command, []), {
    is: 'values',
    values: { fast: false, seeds: 7, offset: undefined, room: 'a', only: undefined, file: undefined, rest: [] },
  })
  const args = ['w', '--fast', '--seeds', '12', '--offset=0', '--room', 'b', '--only', 'x, y', '--file', 'f']
  assert.deepEqual(readArguments(command, args), {
    is: 'values',
    values: { fast: true, seeds: 12, offset: 0, room: 'b', only: ['x', 'y'], file: 'f', rest: ['w'] },
  })
})

test('a mistake is told with what was expected', () => {
  assert.equal(mistake('--seeds', '0'), '--seeds takes a number from 1, not "0".')
  assert.equal(mistake('--seeds', ''), '--seeds takes a number from 1, not "".')
  assert.equal(mistake('--seeds', 'many'), '--seeds takes a number from 1, not "many".')
  assert.equal(mistake('--seeds', '1e300'), '--seeds takes a number from 1, not "1e300".')
  assert.equal(mistake('--room', 'c'), '--room: there is no "c". Known: a, b.')
  assert.equal(mistake('--only', 'x,z'), '--only: there is no "z". Known: x, y.')
  assert.equal(mistake('v'), 'WORLD…: there is no "v". Known: w.')
  assert.match(mistake('--slow'), /Unknown option '--slow'/)
  assert.match(mistake('--file'), /argument missing/)
})

test('help names every option with its value and what is meant without it', () => {
  assert.equal(readArguments(command, ['--slow', '-h']).is, 'mistake')
  assert.equal(readArguments(command, ['-h']).is, 'help')
  assert.equal(
    helpOf(command),
    `npm run example -- [WORLD…] [OPTION …]

An example.

  WORLD…       worlds
  --fast       not slow
  --seeds N    how many (7)
  --offset N   from where
  --room ROOM  where (a)
  --only ID,…  these
  --file FILE  kept there
  --help       this`,
  )
})

test('without names that are known any word will do, and as many of them as are expected', () => {
  const pack = { name: 'npm run pack', about: '', options: {}, rest: { value: 'FOLDER', about: 'where to', count: 1 } }
  assert.deepEqual(readArguments(pack, ['out']), { is: 'values', values: { rest: ['out'] } })
  const said = (...args: string[]) => {
    const read = readArguments(pack, args)
    return read.is === 'mistake' ? read.text : read.is
  }
  assert.equal(said(), 'FOLDER: 1 expected, not 0.')
  assert.equal(said('out', 'in'), 'FOLDER: 1 expected, not 2 (out in).')
  assert.equal(said('--help'), 'help')
  assert.match(helpOf(pack), /^npm run pack -- FOLDER \[OPTION …\]\n/)
})

test('every long command of the repository explains itself', () => {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const { scripts } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { scripts: Record<string, string> }
  const commands = Object.entries(scripts).filter(([name, script]) => script.includes('test/') || name === 'pack')
  assert.ok(commands.length >= 9)
  for (const [name, script] of commands) {
    const file = script.split(' ').at(-1)!
    const run = (flag: string) =>
      spawnSync(process.execPath, [...nodeFlags, `${root}${file}`, flag], { encoding: 'utf8' })
    const help = run('--help')
    assert.equal(help.status, 0, `${name}: ${help.stderr}`)
    assert.ok(help.stdout.startsWith(`npm run ${name} -- `), help.stdout)
    const wrong = run('--no-such-option')
    assert.equal(wrong.status, 2, `${name}: ${wrong.stderr}`)
    assert.match(wrong.stderr, /no-such-option/)
  }
})
