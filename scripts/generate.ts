/**
 * `npm run generate`: writes what derives from the sources into docs/reference, who may do what into docs/access, the table of settings into docs/operations.md, and the messages
 * of etcd. With `--check` it writes nothing and fails when what is there is stale. The files are for people and tools that have no server at hand.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { errors } from '@holdfast/protocol/errors'
import * as limits from '@holdfast/protocol/limits'
import { openApi } from '@holdfast/protocol/openapi'
import { settingRows } from '../packages/server/src/config/config.ts'
import { messagesFrom } from './etcd-messages.ts'
import { permissionsPage } from './permissions.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

// Our own package's file.
const { version } = JSON.parse(readFileSync(`${root}packages/protocol/package.json`, 'utf8')) as { version: string }
const etcd = 'packages/server/src/engine/etcd'
const files: Record<string, string> = {
  [`${etcd}/messages.ts`]: messagesFrom(read(`${etcd}/etcd.proto`) ?? ''),
  'docs/reference/openapi-v1.json': `${JSON.stringify(openApi('v1', version), null, 2)}\n`,
  'docs/reference/openapi-v2.json': `${JSON.stringify(openApi('v2', version), null, 2)}\n`,
  'docs/reference/errors.md': errorsPage(),
  'docs/reference/limits.md': limitsPage(),
  'docs/access/permissions.md': permissionsPage(),
  'docs/operations.md': withSettings(read('docs/operations.md') ?? ''),
}

function errorsPage(): string {
  const rows = Object.entries(errors).map(
    ([code, { status, retry, summary }]) => `| \`${code}\` | ${status} | ${retry ? 'yes' : 'no'} | ${summary} |`,
  )
  return `# Errors

Generated from \`packages/protocol/src/errors.ts\`; do not edit.

Every error reply is \`{"trace": …, "errors": [{"code", "message", "more_info"?, "target"?}]}\`. \`trace\` is the request id that the log has too. Some
codes carry more fields, named in the reference of the operation. *Retry* says whether the same request can succeed later.

| code | status | retry | |
|---|---|---|---|
${rows.join('\n')}
`
}

function limitsPage(): string {
  const source = read('packages/protocol/src/limits.ts') ?? ''
  const values: Record<string, unknown> = limits
  const declarations = [...source.matchAll(/(?:\/\*\* ([^*]*) \*\/\n)?export const ([A-Z0-9_]+) =/g)]
  const rows = declarations.map(
    ([, why = '', name = '']) => `| \`${name}\` | ${quantity(name, Number(values[name]))} | ${why} |`,
  )
  return `# Limits

Generated from \`packages/protocol/src/limits.ts\`; do not edit. Who meets one is told its name.

| limit | value | |
|---|---|---|
${rows.join('\n')}
`
}

/** The unit is in the name. */
function quantity(name: string, value: number): string {
  const steps: [string, number][] = name.includes('_MS')
    ? [
        ['d', 86_400_000],
        ['h', 3_600_000],
        ['min', 60_000],
        ['s', 1_000],
        ['ms', 1],
      ]
    : name.includes('BYTES')
      ? [
          ['MiB', 1_048_576],
          ['KiB', 1_024],
          ['bytes', 1],
        ]
      : []
  const step = steps.find(([, size]) => value >= size && value % size === 0)
  if (step) return `${value / step[1]} ${step[0]}`
  return name.includes('_SECONDS') ? `${value} s` : value.toLocaleString('en-US')
}

function withSettings(page: string): string {
  const rows = settingRows().map(({ flag, variable, field, fallback, help }) =>
    ['', flag && `\`${flag}\``, `\`${variable}\``, field && `\`${field}\``, fallback && `\`${fallback}\``, help, '']
      .join(' | ')
      .trim(),
  )
  const table = ['| flag | environment | file | default | |', '|---|---|---|---|---|', ...rows].join('\n')
  const [begin, end] = ['<!-- settings -->', '<!-- end -->']
  return page.replace(new RegExp(`${begin}.*?${end}`, 's'), () => [begin, table, end].join('\n'))
}

function read(path: string): string | null {
  try {
    return readFileSync(root + path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

const stale = Object.entries(files).filter(([name, content]) => read(name) !== content)
const names = stale.map(([name]) => name).join(', ')
if (!process.argv.includes('--check')) {
  mkdirSync(`${root}docs/reference`, { recursive: true })
  for (const [name, content] of stale) writeFileSync(root + name, content)
  console.log(stale.length === 0 ? 'Nothing to do.' : `Wrote ${names}.`)
} else if (stale.length > 0) {
  console.error(`Stale: ${names}. Run \`npm run generate\`.`)
  process.exitCode = 1
}
