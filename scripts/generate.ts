/**
 * `npm run generate`: writes what derives from the protocol into docs/reference. With `--check` it writes nothing and fails when what is there
 * is stale. The files are for people and tools that have no server at hand.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { errors } from '@holdfast/protocol/errors'
import { openApi } from '@holdfast/protocol/openapi'

const root = fileURLToPath(new URL('..', import.meta.url))
const directory = `${root}docs/reference/`

// Our own package's file.
const { version } = JSON.parse(readFileSync(`${root}packages/protocol/package.json`, 'utf8')) as { version: string }
const files: Record<string, string> = {
  'openapi-v1.json': `${JSON.stringify(openApi('v1', version), null, 2)}\n`,
  'openapi-v2.json': `${JSON.stringify(openApi('v2', version), null, 2)}\n`,
  'errors.md': errorsPage(),
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

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

const stale = Object.entries(files).filter(([name, content]) => read(directory + name) !== content)
if (!process.argv.includes('--check')) {
  mkdirSync(directory, { recursive: true })
  for (const [name, content] of stale) writeFileSync(directory + name, content)
  console.log(
    stale.length === 0 ? 'Nothing to do.' : `Wrote ${stale.map(([name]) => `docs/reference/${name}`).join(', ')}.`,
  )
} else if (stale.length > 0) {
  console.error(`Stale: ${stale.map(([name]) => `docs/reference/${name}`).join(', ')}. Run \`npm run generate\`.`)
  process.exitCode = 1
}
