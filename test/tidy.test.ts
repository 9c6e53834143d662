/** What review should not spend time on: arrows between rooms, sizes, banned calls, names of rooms, words that mark unfinished work. */
import { strict as assert } from 'node:assert'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter(file => file !== '' && existsSync(join(root, file)))
const sources = tracked.filter(file => /\.(ts|mts|mjs)$/.test(file))
const text = (file: string) => readFileSync(join(root, file), 'utf8')

/** Room → rooms of the server that it may import (all may import protocol). */
const arrows = {
  locks: [],
  'process-lock': [],
  engine: ['process-lock'],
  cluster: ['process-lock', 'engine', 'shards'],
  shards: ['locks', 'engine'],
  routing: ['locks', 'engine', 'shards'],
  registry: ['engine'],
  auth: ['registry'],
  policies: ['auth', 'registry'],
  instances: ['registry', 'shards', 'locks', 'engine'],
  administration: ['auth', 'policies', 'registry', 'shards', 'locks'],
  audit: ['registry', 'shards', 'locks', 'engine'],
  config: ['auth', 'engine', 'policies'],
  'iam-emulator': [],
  http: ['administration', 'audit', 'auth', 'policies', 'registry', 'instances', 'shards', 'locks'],
} as const satisfies Record<string, readonly string[]>

/** Files and rooms at the server's root that every room may use: the doors to the outside. */
const doors = ['clock', 'random', 'telemetry', 'config']

/** Longer than the rule allows, each with its reason; the number may only shrink. */
const longFiles: Record<string, number> = {
  // Every record, entry, command and reply of the core in one page.
  'packages/server/src/locks/model.ts': 420,
}
const FILE_LINES_MAX = 400

function imports(file: string): string[] {
  return [...text(file).matchAll(/(?:from|import) '([^']+)'|import\('([^']+)'\)/g)].map(
    match => match[1] ?? match[2] ?? '',
  )
}

function isTest(file: string): boolean {
  return file.endsWith('.test.ts') || file.endsWith('/testing.ts') || file.endsWith('conformance.ts')
}

test('arrows between the rooms of the server point one way', () => {
  const wrong: string[] = []
  for (const file of sources.filter(name => name.startsWith('packages/server/src/') && !isTest(name))) {
    const [room = ''] = relative('packages/server/src', file).split('/')
    if (!(room in arrows)) continue
    const allowed: readonly string[] = arrows[room as keyof typeof arrows]
    for (const target of imports(file).filter(name => name.startsWith('.'))) {
      const path = relative('packages/server/src', join(dirname(file), target))
      const [to = ''] = path.split('/')
      const isDoor = doors.includes(to.replace(/\.ts$/, ''))
      if (to !== room && !isDoor && !allowed.includes(to)) wrong.push(`${file} → ${path}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('packages import each other one way: cli → client → protocol, server → protocol', () => {
  const allowed: Record<string, string[]> = {
    protocol: [],
    client: ['protocol'],
    server: ['protocol'],
    cli: ['client', 'protocol', 'server'],
  }
  const wrong: string[] = []
  for (const file of sources.filter(name => /^packages\/[^/]+\/src\//.test(name) && !isTest(name))) {
    const own = file.split('/')[1] ?? ''
    for (const target of imports(file)) {
      const to = /^@holdfast\/([a-z]+)/.exec(target)?.[1]
      if (to && to !== own && !allowed[own]?.includes(to)) wrong.push(`${file} → ${target}`)
    }
  }
  assert.deepEqual(wrong, [])
})

/** What the library loads of protocol: free of dependencies, for it runs in browsers. */
const loaded = ['errors', 'casing', 'limits', 'frame', 'events', 'nearest']

test('the library reaches no package but the dependency-free part of protocol, and nothing of Node', () => {
  const permitted = loaded.map(name => `@holdfast/protocol/${name}`)
  const wrong = sources
    .filter(name => name.startsWith('packages/client/src/') && !isTest(name))
    .flatMap(file =>
      imports(file)
        .filter(target => !target.startsWith('.') && !permitted.includes(target))
        .map(target => `${file} → ${target}`),
    )
  assert.deepEqual(wrong, [])
  for (const name of loaded) {
    const outside = imports(`packages/protocol/src/${name}.ts`).filter(target => !target.startsWith('./'))
    assert.deepEqual(outside, [], `protocol/${name} must stay free of dependencies`)
  }
})

test('only the doors know time and chance', () => {
  const banned =
    /\b(Date\.now|performance\.now|Math\.random|setTimeout|setInterval|setImmediate|hrtime|randomBytes|randomUUID|getRandomValues)\b/
  const wrong: string[] = []
  for (const file of sources.filter(name => /^packages\/(protocol|client|server)\/src\//.test(name) && !isTest(name))) {
    if (/\/(clock|random)\.ts$/.test(file)) continue
    text(file)
      .split('\n')
      .forEach((line, index) => {
        const code = line.replace(/\/\/.*$/, '')
        if (/^\s*\*|^\s*\/\*\*/.test(line)) return
        if (banned.test(code)) wrong.push(`${file}:${index + 1} ${line.trim()}`)
      })
  }
  assert.deepEqual(wrong, [])
})

test('no file is too long to be one thing', () => {
  const wrong = sources
    .map(file => ({ file, lines: text(file).split('\n').length }))
    .filter(({ file, lines }) => lines > (longFiles[file] ?? FILE_LINES_MAX) && !isTest(file))
    .map(({ file, lines }) => `${file}: ${lines} lines`)
  assert.deepEqual(wrong, [])
})

test('each limit that has a name is looked at by a test', () => {
  const tests = sources.filter(isTest).map(text).join('\n')
  const wrong: string[] = []
  for (const file of sources.filter(name => /^packages\/\w+\/src\//.test(name) && !isTest(name)))
    for (const [, name = ''] of text(file).matchAll(/^export const ([A-Z0-9_]+_(?:MAX|MIN)) =/gm))
      if (!new RegExp(`\\b${name}\\b`).test(tests)) wrong.push(`${file}: ${name}`)
  assert.deepEqual(wrong, [])
})

test('a folder is a room with one noun', () => {
  const banned = new Set(['utils', 'util', 'common', 'helpers', 'helper', 'manager', 'base', 'misc', 'lib'])
  const wrong = tracked.filter(file => file.split('/').some(part => banned.has(part.replace(/\.[a-z]+$/, ''))))
  assert.deepEqual(wrong, [])
})

test('nothing unfinished lands', () => {
  const wrong: string[] = []
  for (const file of sources.filter(name => name !== 'test/tidy.test.ts')) {
    if (/\bFIXME\b|\bXXX\b|not implemented|\.(only|todo)\(/i.test(text(file))) wrong.push(file)
    if (/\bTODO\b(?! #\d)/.test(text(file))) wrong.push(`${file}: a TODO without an issue`)
    const code = text(file).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
    if (/: any\b|\bas any\b|<any>/.test(code)) wrong.push(`${file}: any`)
  }
  assert.deepEqual(wrong, [])
})

test('nothing names a machine or a registry', () => {
  const wrong = tracked
    .filter(
      file => /\.(ts|mjs|mts|json|md|sh|yml|yaml)$|\.ci\/run$|\.npmrc$/.test(file) && file !== 'test/tidy.test.ts',
    )
    .filter(
      file =>
        /(^|[^a-zA-Z0-9_.])\/(work|root)\/[a-z.]/m.test(text(file)) ||
        /https?:\/\/[^ )"]*(registry\.|\bdeb\.)/.test(text(file)),
    )
  assert.deepEqual(wrong, [])
})

test('every link of the docs leads somewhere', () => {
  const wrong: string[] = []
  for (const file of tracked.filter(name => name.endsWith('.md'))) {
    for (const [, target = ''] of text(file)
      .replace(/`[^`\n]*`/g, '')
      .matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      if (!existsSync(join(root, dirname(file), target))) wrong.push(`${file} → ${target}`)
    }
  }
  assert.deepEqual(wrong, [])
})
