/** A real browser. The package that brings it holds it compressed: it is unpacked once, into the cache of the checkout. */
import { execFileSync } from 'node:child_process'
import { createReadStream, createWriteStream, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { createBrotliDecompress } from 'node:zlib'
import { type Browser, chromium } from 'playwright-core'

const require = createRequire(import.meta.url)
const root = fileURLToPath(new URL('../..', import.meta.url))

/** Why there is none here; false where it must start. */
export const noBrowser =
  process.env.CHROMIUM_PATH !== undefined || (process.platform === 'linux' && process.arch === 'x64')
    ? false
    : `npm has Chromium for Linux on x64, not for ${process.platform} on ${process.arch}: set CHROMIUM_PATH`

export async function startBrowser(): Promise<Browser> {
  const { CHROMIUM_PATH } = process.env
  if (CHROMIUM_PATH !== undefined) return chromium.launch({ executablePath: CHROMIUM_PATH })
  const folder = await unpacked()
  // Its own libraries stand beside it: a machine without a desktop does not have them.
  const env = { ...process.env, LD_LIBRARY_PATH: join(folder, 'lib') } as Record<string, string> // nothing in it is undefined
  return chromium.launch({ executablePath: join(folder, 'chromium'), env })
}

async function unpacked(): Promise<string> {
  // The folder of the package: its exports name only the program in `build/esm` or `build/cjs`.
  const from = join(dirname(require.resolve('@sparticuz/chromium')), '../..')
  const { version } = JSON.parse(readFileSync(join(from, 'package.json'), 'utf8')) as { version: string } // npm's own file
  const folder = join(root, '.cache', `chromium-${version}`)
  if (existsSync(folder)) return folder
  const partial = `${folder}.${process.pid}`
  mkdirSync(partial, { recursive: true })
  await decompress(join(from, 'bin/chromium.br'), join(partial, 'chromium'))
  await decompress(join(from, 'bin/al2023.tar.br'), join(partial, 'libraries.tar'))
  execFileSync('tar', ['-xf', 'libraries.tar'], { cwd: partial })
  rmSync(join(partial, 'libraries.tar'))
  renameSync(partial, folder)
  return folder
}

async function decompress(from: string, to: string): Promise<void> {
  await pipeline(createReadStream(from), createBrotliDecompress(), createWriteStream(to, { mode: 0o755 }))
}
