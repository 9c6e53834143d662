/**
 * Finds the Node that runs this project: 24, which comes in through npm, so that a machine needs only some Node ≥ 20 to begin with.
 * Plain JavaScript, for it must run on the machine's own.
 */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** Path of a Node that runs TypeScript sources as they are. */
export function findNode() {
  const packaged = `${root}node_modules/node-${process.platform}-${process.arch}/bin/node`
  if (existsSync(packaged)) return packaged
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > 22 || (major === 22 && minor >= 18)) return process.execPath
  throw new Error(
    `Holdfast needs Node 22.18 or newer to run from its sources on ${process.platform}-${process.arch}; this is ${process.version}. Install Node 24 and try again.`,
  )
}

export const nodeFlags = ['--conditions=source', '--disable-warning=ExperimentalWarning']
