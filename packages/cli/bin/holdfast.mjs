#!/usr/bin/env node
/**
 * The `holdfast` command. Published, it runs what was built. In a checkout it runs the sources as they are, on the Node that the project
 * brings along: in its own place where this Node can be replaced, else as a child that gets every signal and whose end is this one's.
 * Plain JavaScript, for it must start on any Node.
 */
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'

const finder = new URL('../../../scripts/node.mjs', import.meta.url)
const source = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const args = process.argv.slice(2)

if (existsSync(finder) && existsSync(source)) await runSource()
else {
  const { main } = await import('../dist/main.js')
  await main(args)
}

async function runSource() {
  const { findNode, nodeFlags } = await import(finder.href)
  const node = findNode()
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
    process.exitCode = 125
  })
  child.on('exit', (code, signal) => {
    process.exit(signal ? 128 + constants.signals[signal] : code)
  })
}
