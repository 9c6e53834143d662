/**
 * The packed packages in an otherwise empty project, as a user's package manager would lay them out. Laid out strictly: each package sees
 * what it declares and nothing else, so that a dependency which only happens to be installed here is missed. What is not ours is
 * linked from this checkout's own installation: the same files that the registry has, without asking it.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pack, packages } from '../../scripts/pack.ts'
import { temporaryFolder } from '../harness/process.ts'

export type Manifest = {
  name: string
  version: string
  engines: { node: string }
  bin?: Record<string, string>
  exports: Record<string, Record<string, string>>
  dependencies: Record<string, string>
}

export type Project = {
  folder: string
  /** Of one of our packages, as it was unpacked. */
  packageFolder(name: string): string
  manifest(name: string): Manifest
  /** The installed command. */
  command: string
  remove(): void
}

/** Builds and packs the packages, unpacks them, and gives a project that depends on the library and the command line. */
export function installPublished(): Project {
  const { path: folder, remove } = temporaryFolder('published')
  pack(join(folder, 'packed'))
  const packageFolder = (name: string) => join(folder, 'installed', name, 'package')
  // What npm has packed is a package.json.
  const manifest = (name: string) =>
    JSON.parse(readFileSync(join(packageFolder(name), 'package.json'), 'utf8')) as Manifest
  for (const name of packages) unpack(folder, name)
  for (const name of packages) linkDeclared(packageFolder(name), manifest(name), packageFolder)
  const modules = join(folder, 'node_modules')
  for (const name of ['client', 'cli']) link(packageFolder(name), join(modules, '@holdfast', name))
  const bin = join(packageFolder('cli'), manifest('cli').bin?.holdfast ?? 'no bin')
  chmodSync(bin, 0o755)
  const command = join(modules, '.bin', 'holdfast')
  link(bin, command)
  return { folder, packageFolder, manifest, command, remove }
}

function unpack(folder: string, name: string): void {
  const [tarball = ''] = readdirSync(join(folder, 'packed')).filter(file => file.startsWith(`holdfast-${name}-`))
  const to = join(folder, 'installed', name)
  mkdirSync(to, { recursive: true })
  execFileSync('tar', ['-xzf', join(folder, 'packed', tarball), '-C', to])
}

function linkDeclared(folder: string, { dependencies }: Manifest, packageFolder: (name: string) => string): void {
  for (const dependency of Object.keys(dependencies ?? {})) {
    const [scope, own = ''] = dependency.split('/')
    const target = scope === '@holdfast' ? packageFolder(own) : installed(dependency)
    link(target, join(folder, 'node_modules', dependency))
  }
}

/** Where this checkout has it: its own manifest may be hidden by its `exports`, its folder is not. */
function installed(dependency: string): string {
  const require = createRequire(fileURLToPath(new URL('../../packages/server/package.json', import.meta.url)))
  const found = (require.resolve.paths(dependency) ?? [])
    .map(path => join(path, dependency))
    .find(path => existsSync(path))
  if (!found) throw new Error(`${dependency} is declared and not installed`)
  return realpathSync(found)
}

function link(target: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true })
  symlinkSync(target, path)
}
