/**
 * Programs from Debian, unpacked into a cache folder of the checkout: no root, nothing installed on the machine. The packages come from the
 * mirror that the machine's own apt is set to, and apt checks their signatures and sums.
 */
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const cache = fileURLToPath(new URL('../../.cache/debian', import.meta.url))

/**
 * `package/suite` pairs. Redis with the libraries it links; etcd of a suite that has at least 3.5 (static, so any suite will do); ZooKeeper with what
 * its server loads, and a Java to run it for machines that have none; PostgreSQL with what a small system may lack.
 */
export const wanted = {
  redis: [
    'redis-server',
    'redis-tools',
    'libjemalloc2',
    'liblzf1',
    'liblua5.1-0',
    'lua-cjson',
    'lua-bitop',
    'libhiredis0.14',
  ].map(name => `${name}/bookworm`),
  etcd: ['etcd-server/trixie'],
  /** A newer release than that one, to upgrade to. */
  newerEtcd: ['etcd-server/forky'],
  strace: ['strace/bookworm', 'libunwind8/bookworm'],
  faketime: ['libfaketime/bookworm'],
  zookeeper: [
    'libzookeeper-java',
    'libslf4j-java',
    'libnetty-java',
    'libcommons-cli-java',
    'libdropwizard-metrics-java',
    'libsnappy-java',
    'libsnappy-jni',
    'libsnappy1v5',
  ].map(name => `${name}/bookworm`),
  java: ['openjdk-17-jre-headless', 'libjpeg62-turbo', 'liblcms2-2', 'libnss3', 'libnspr4', 'zlib1g'].map(
    name => `${name}/bookworm`,
  ),
  postgresql: ['postgresql-15', 'libpq5', 'libicu72', 'libxml2', 'libxslt1.1', 'libldap-2.5-0', 'libsasl2-2'].map(
    name => `${name}/bookworm`,
  ),
} as const satisfies Record<string, readonly string[]>

export type Installed = { root: string; bin(name: string): string; env: NodeJS.ProcessEnv }

/** Unpacks the packages unless they are there. Returns why not, as text, when they cannot be had here. */
export function debian(name: keyof typeof wanted): Installed | string {
  const root = `${cache}/${name}`
  const isComplete = () => existsSync(`${root}/.complete`)
  // What is there needs no lock, and whoever was killed with it in hand keeps nobody waiting.
  const problem = isComplete() ? null : withLock(() => (isComplete() ? null : unpack(root, wanted[name])))
  if (problem) return problem
  const libraries = globSync(`${root}/usr/lib/*-linux-gnu`).join(':')
  return { root, bin: program => `${root}/usr/bin/${program}`, env: { ...process.env, LD_LIBRARY_PATH: libraries } }
}

/** Test files run beside each other; a lock that is this old belongs to nobody any more. */
const LOCK_MS_MAX = 5 * 60_000
const LOCK_LOOK_MS = 200

function withLock<Result>(act: () => Result): Result {
  const lock = `${cache}/lock`
  mkdirSync(cache, { recursive: true })
  while (!madeDirectory(lock)) {
    const since = statSync(lock, { throwIfNoEntry: false })?.mtimeMs
    if (since !== undefined && Date.now() - since > LOCK_MS_MAX) rmSync(lock, { recursive: true, force: true })
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK_LOOK_MS)
  }
  try {
    return act()
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}

function madeDirectory(path: string): boolean {
  try {
    mkdirSync(path)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

function unpack(root: string, packages: readonly string[]): string | null {
  const apt = `${cache}/apt`
  const build = `${root}.partial`
  for (const path of [`${apt}/lists/partial`, `${apt}/archives/partial`, `${build}/debs`])
    mkdirSync(path, { recursive: true })
  const sources = sourcesFor(new Set(packages.map(name => name.split('/')[1] ?? '')))
  if (!sources) return 'this machine has no Debian package sources'
  writeFileSync(`${apt}/sources.list`, sources)
  const options = ['Lists=lists', 'Etc::sourcelist=sources.list', 'Cache=.'].map(pair => {
    const [key, path] = pair.split('=')
    const directory = key === 'Lists' ? 'Dir::State::Lists' : `Dir::${key}`
    return `-o${directory}=${apt}/${path}`
  })
  options.push('-oDir::Etc::sourceparts=-', '-oDebug::NoLocking=1', '-oAPT::Sandbox::User=')
  const steps: [string, string[]][] = [
    ['apt-get', [...options, '-qq', 'update']],
    ['apt-get', [...options, '-qq', 'download', ...packages]],
  ]
  for (const [program, args] of steps) {
    const result = spawnSync(program, args, { cwd: `${build}/debs`, encoding: 'utf8' })
    if (result.status !== 0)
      return `${program} ${args.at(-1)} failed: ${result.error?.message ?? result.stderr.trim().split('\n')[0]}`
  }
  for (const file of globSync(`${build}/debs/*.deb`)) {
    const result = spawnSync('dpkg', ['-x', file, build])
    if (result.status !== 0) return `dpkg could not unpack ${file}`
  }
  rmSync(`${build}/debs`, { recursive: true })
  keepLinksInside(build, root)
  rmSync(root, { recursive: true, force: true })
  renameSync(build, root)
  writeFileSync(`${root}/.complete`, '')
  return null
}

/** Links to `/etc/…` and the like mean the package's own files, which are not there but in the cache. */
function keepLinksInside(build: string, root: string): void {
  for (const entry of readdirSync(build, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) continue
    const link = join(entry.parentPath, entry.name)
    const target = readlinkSync(link)
    if (!target.startsWith('/') || !existsSync(`${build}${target}`)) continue
    rmSync(link)
    symlinkSync(`${root}${target}`, link)
  }
}

/** The machine's own mirror, for the suites asked for. */
function sourcesFor(suites: Set<string>): string | null {
  const files = globSync(['/etc/apt/sources.list', '/etc/apt/sources.list.d/*.{list,sources}'])
  const text = files.map(file => readFileSync(file, 'utf8')).join('\n')
  const mirror = /^(?:URIs:|deb(?: \[[^\]]*\])?) *(https?:\/\/\S*debian)\/? *(?:$|\s)/m.exec(text)?.[1]
  if (!mirror) return null
  return [...suites].map(suite => `deb ${mirror} ${suite} main\n`).join('')
}
