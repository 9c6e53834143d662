/** Installs what the lockfile says, and only when it has changed since the last time. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { root } from './node.mjs'

const stamp = `${root}node_modules/.holdfast-installed`

export function install() {
  const digest = createHash('sha256')
    .update(readFileSync(`${root}package-lock.json`))
    .digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return
  console.error('Installing what the lockfile names (once) …')
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  // Whatever the caller's npm is told, the tests and the type checker are needed too.
  const result = spawnSync(
    npm,
    ['ci', '--no-audit', '--no-fund', '--loglevel=error', '--include=dev', '--include=optional'],
    {
      cwd: root,
      stdio: ['ignore', 2, 2],
    },
  )
  if (result.status !== 0) throw new Error('`npm ci` failed; its messages are above.')
  mkdirSync(`${root}node_modules`, { recursive: true })
  writeFileSync(stamp, digest)
}
