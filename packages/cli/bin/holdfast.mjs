#!/usr/bin/env node
/**
 * The `holdfast` command. Published, it runs what was built. In a checkout it runs the sources as they are, on the Node that the project
 * brings along: in its own place where this Node can be replaced, else as a child that gets every signal and whose end is this one's.
 * Plain JavaScript without `await` at the top, for it must start on any Node, and tell one that is too old that it is.
 */
import { existsSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'

const finder = new URL('../../../scripts/node.mjs', import.meta.url)
const source = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const args = process.argv.slice(2)
/** Of src/exit.ts, which cannot be imported yet: wrong usage, and a bug. */
const WRONG_USAGE = 124
const INTERNAL = 125

const started = existsSync(finder) && existsSync(source) ? runSource() : runBuilt()
started.catch(error => {
  console.error(error)
  process.exitCode = INTERNAL
})

async function runBuilt() {
  const needed = neededNode()
  if (!isAtLeast(needed)) {
    return refuse(`This needs Node ${needed} or newer, and this is ${process.version} (${process.execPath}).`)
  }
  const { main } = await import('../dist/main.js')
  await main(args)
}

function refuse(why) {
  console.error(`holdfast: ${why}`)
  process.exitCode = WRONG_USAGE
}

/** What the package promises to run on. */
function neededNode() {
  const { engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  return engines.node.replace('>=', '')
}

function isAtLeast(needed) {
  const [major, minor] = process.versions.node.split('.').map(Number)
  const [neededMajor, neededMinor] = needed.split('.').map(Number)
  return major > neededMajor || (major === neededMajor && minor >= neededMinor)
}

async function runSource() {
  const { findNode, nodeFlags } = await import(finder.href)
  let node
  try {
    node = findNode()
  } catch (error) {
    return refuse(error.message)
  }
  const given = [...nodeFlags, source, ...args]
  if (typeof process.execve === 'function') process.execve(node, [node, ...given], process.env)
  const { spawn } = await import('node:child_process')
  const child = spawn(node, given, { stdio: 'inherit' })
  // From a terminal both get these two; a second one would mean "at once" to many programs.
  const fromTerminal = process.stdin.isTTY ? ['SIGINT', 'SIGQUIT'] : []
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2', 'SIGCONT']) {
    process.on(signal, () => {
      if (!fromTerminal.includes(signal)) child.kill(signal)
    })
  }
  child.on('error', error => {
    console.error(`holdfast: ${error.message}`)
    process.exitCode = INTERNAL
  })
  child.on('exit', (code, signal) => {
    process.exit(signal ? 128 + constants.signals[signal] : code)
  })
}
