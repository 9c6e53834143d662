/** A web server for a page that uses the library as browsers can without a bundler: the built modules as they are, and an import map. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import type { Project } from './project.ts'

/** What a test finds in the page: the library, left there by the page, and of the browser's own things those that are used. */
export type Page = {
  client: typeof import('@holdfast/client')
  document: { title: string }
  location: { origin: string }
}

export type Pages = { origin: string; close(): Promise<void> }

export async function servePages(project: Project): Promise<Pages> {
  const imports = { '@holdfast/client': '/client/dist/index.js', ...exportsOf(project, 'protocol') }
  const html = `<!doctype html><title>A page</title>
<script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module">
import * as client from '@holdfast/client'
globalThis.client = client
</script>`
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://pages')
    const [, name = '', ...rest] = pathname.split('/')
    if (pathname === '/') return response.setHeader('content-type', 'text/html').end(html)
    if (!['client', 'protocol'].includes(name) || !pathname.endsWith('.js')) return response.writeHead(404).end()
    return response
      .setHeader('content-type', 'text/javascript')
      .end(readFileSync(join(project.packageFolder(name), ...rest)))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    origin: `http://127.0.0.1:${address.port}`,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function exportsOf(project: Project, name: string): Record<string, string> {
  const entries = Object.entries(project.manifest(name).exports)
  return Object.fromEntries(
    entries.map(([path, { default: file = '' }]) => [
      path.replace(/^\./, `@holdfast/${name}`),
      file.replace(/^\./, `/${name}`),
    ]),
  )
}
