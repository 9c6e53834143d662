/**
 * `npm run prove`: everything that is tried of Holdfast in its long form, on this one commit: what docs/reliability.md tells of. Hours. What measures
 * times has the machine to itself; what only counts goes beside another. Each part's whole output is kept.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { commandLine } from './command-line.ts'

type Part = { name: string; args?: readonly string[]; env?: Readonly<Record<string, string>> }
type Done = { name: string; command: string; seconds: number; status: number; last: string }

const root = fileURLToPath(new URL('..', import.meta.url))
const PROGRESS_MS = 60_000
/** Of an output, in what is told of its part. */
const LAST_CHARS_MAX = 200

/** One after another; of one turn, its lanes at the same time, and of a lane its parts one after another. */
const turns: readonly (readonly (readonly Part[])[])[] = [
  // Here nothing is run again that has failed.
  [[{ name: 'test', env: { TEST_ONCE: '1' } }]],
  [[{ name: 'chaos' }]],
  [[{ name: 'faults', args: ['2'] }]],
  [[{ name: 'known-bad' }]],
  [[{ name: 'simulate' }]],
  [[{ name: 'explore' }], [{ name: 'crash' }, { name: 'fuzz' }, { name: 'planted' }]],
  [[{ name: 'mutate' }]],
]
const names = turns.flat(2).map(({ name }) => name)

const { only, into } = commandLine({
  name: 'npm run prove',
  about: `Runs ${names.join(', ')} in their long forms, on the commit that is checked out. Takes hours. Ends with 0 when all of them do.`,
  options: {
    only: { is: 'names', value: 'NAME,…', known: names, about: 'these parts' },
    into: { is: 'text', value: 'DIR', default: 'proof-results', about: 'where outputs and results are kept' },
  },
})

const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim()
const commit = git('rev-parse', 'HEAD')
const changes = git('status', '--porcelain', '--untracked-files=no')
if (changes !== '') {
  console.error(`What is proved is a commit, and these files are not as in ${commit.slice(0, 7)}:\n${changes}`)
  process.exit(2)
}

const began = new Date()
const running = new Map<string, { child: ChildProcess; last: string }>()
const done: Done[] = []
let isStopped = false
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    isStopped = true
    // npm and its shell pass no signal on to what they have started; and of that some may be stopped, to see what comes of it.
    for (const { child } of running.values())
      for (const one of [signal, 'SIGCONT']) if (child.pid) process.kill(-child.pid, one)
  })
const progress = setInterval(() => {
  for (const [name, { last }] of running) console.log(`  ${name}: ${last}`)
}, PROGRESS_MS)

mkdirSync(into, { recursive: true })
for (const lanes of turns) await Promise.all(lanes.map(alongLane))
clearInterval(progress)
keep()
console.log(`\n${tableOf(done)}`)
process.exitCode = !isStopped && done.every(({ status }) => status === 0) ? 0 : 1

async function alongLane(lane: readonly Part[]) {
  for (const part of lane) {
    if (isStopped || (only && !only.includes(part.name))) continue
    done.push(await run(part))
    keep()
  }
}

function run({ name, args = [], env = {} }: Part): Promise<Done> {
  const words = ['run', '--silent', name, ...(args.length > 0 ? ['--', ...args] : [])]
  const command = words.filter(word => word !== '--silent').join(' ')
  const beganMs = performance.now()
  console.log(`— npm ${command}`)
  const output = createWriteStream(`${into}/${name}.log`)
  const child = spawn('npm', words, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const state = { child, last: '' }
  running.set(name, state)
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output.write(chunk)
      const line = chunk.toString().trimEnd().split('\n').at(-1)!.trim()
      if (line !== '') state.last = line.slice(0, LAST_CHARS_MAX)
    })
  return new Promise(resolve => {
    child.once('close', code => {
      running.delete(name)
      output.end()
      const seconds = Math.round((performance.now() - beganMs) / 1_000)
      const status = code ?? 1
      console.log(`${status === 0 ? '✔' : '✖'} npm ${command}: ${seconds} s, ended with ${status}: ${state.last}`)
      resolve({ name, command: `npm ${command}`, seconds, status, last: state.last })
    })
  })
}

function keep() {
  const machine = { cpus: cpus().length, cpu: cpus()[0]?.model, node: process.version }
  writeFileSync(
    `${into}/result.json`,
    `${JSON.stringify({ commit, began, until: new Date(), machine, parts: done }, null, 2)}\n`,
  )
}

function tableOf(parts: readonly Done[]): string {
  const rows = parts.map(({ command, seconds, status, last }) => {
    const cells = [`\`${command}\``, `${Math.round(seconds / 60)} min`, status === 0 ? 'green' : `ended with ${status}`]
    return `| ${[...cells, last.replaceAll('|', '\\|')].join(' | ')} |`
  })
  return [
    `Commit ${commit}, ${began.toISOString()}`,
    '',
    '| | took | | last line |',
    '|---|---|---|---|',
    ...rows,
  ].join('\n')
}
