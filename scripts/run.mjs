/** `node scripts/run.mjs FILE [ARGS…]`: installs if needed and runs a TypeScript file of the project on its own Node. */
import { spawn } from 'node:child_process'
import { install } from './install.mjs'
import { findNode, nodeFlags, root } from './node.mjs'

install()
const [file, ...args] = process.argv.slice(2)
const child = spawn(findNode(), [...nodeFlags, `${root}${file}`, ...args], { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => process.exit(signal ? 1 : (code ?? 1)))
