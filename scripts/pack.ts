/**
 * `npm run pack -- FOLDER`: builds the packages and packs each into FOLDER, as a release would have them. In a copy of the sources, because
 * the `dist` of a checkout still holds what sources that are gone once built into it.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { commandLine } from './command-line.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
/** Each after those that it needs. */
export const packages = ['protocol', 'client', 'server', 'cli'] as const

/** @throws when the sources cannot be built or packed; what was said about it is in the message. */
export function pack(folder: string): void {
  const copy = mkdtempSync(join(tmpdir(), 'holdfast-pack-'))
  try {
    copySources(copy)
    linkDependencies(copy)
    run(join(root, 'node_modules/.bin/tsc'), ['--build'], copy)
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
    const sources = packages.map(name => `./packages/${name}`)
    mkdirSync(folder, { recursive: true })
    run(npm, ['pack', '--silent', '--ignore-scripts', '--pack-destination', resolve(folder), ...sources], copy)
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

function run(program: string, args: readonly string[], folder: string): void {
  const { status, error, stdout, stderr } = spawnSync(program, args, { cwd: folder, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed: ${error?.message ?? ''}\n${stdout}${stderr}`)
}

function copySources(copy: string): void {
  for (const file of ['package.json', 'tsconfig.json', 'tsconfig.base.json']) cpSync(join(root, file), join(copy, file))
  for (const name of packages) {
    for (const part of ['package.json', 'tsconfig.json', 'src', 'bin']) {
      const from = join(root, 'packages', name, part)
      if (existsSync(from)) cpSync(from, join(copy, 'packages', name, part), { recursive: true })
    }
  }
}

/** What is installed here, but of our own packages the copies. */
function linkDependencies(copy: string): void {
  const modules = join(copy, 'node_modules')
  mkdirSync(join(modules, '@holdfast'), { recursive: true })
  for (const name of readdirSync(join(root, 'node_modules')))
    if (name !== '@holdfast') symlinkSync(join(root, 'node_modules', name), join(modules, name))
  for (const name of packages) {
    symlinkSync(join(copy, 'packages', name), join(modules, '@holdfast', name))
    const own = join(root, 'packages', name, 'node_modules')
    if (existsSync(own)) symlinkSync(own, join(copy, 'packages', name, 'node_modules'))
  }
}

if (import.meta.main) {
  const { rest } = commandLine({
    name: 'npm run pack',
    about: 'Builds the packages from a copy of the sources, and packs each as a release would have it.',
    options: {},
    rest: { value: 'FOLDER', about: 'where to; made if it is not there', count: 1 },
  })
  // There is one, as was expected.
  const folder = rest[0]!
  pack(folder)
  console.log(readdirSync(folder).join('\n'))
}
