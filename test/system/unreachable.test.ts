import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { test } from 'node:test'
import { connect } from '@holdfast/client'
import { Authority } from '../harness/certificates.ts'

/** What somebody is told who asks a server that is none of ours. */
async function toldBy(server: Server, scheme: 'http' | 'https', path = ''): Promise<string> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  // Listening on a host and port, the address is no text.
  const { port } = server.address() as AddressInfo
  const holdfast = connect({ url: `${scheme}://127.0.0.1:${port}${path}`, apiKey: 'k', connectTimeoutMs: 500 })
  try {
    return await holdfast.acquire('a').then(
      () => assert.fail('it was granted'),
      (error: Error) => error.message,
    )
  } finally {
    await holdfast.close()
    server.close()
  }
}

test('a certificate that is not trusted is named as the reason, with what to do', async () => {
  const { certificate, key } = new Authority('nobody').issue('nobody')
  const message = await toldBy(createSecureServer({ cert: certificate, key }), 'https')
  assert.match(
    message,
    /\(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)\. Name the authority of its certificate in NODE_EXTRA_CA_CERTS/,
  )
})

test('an address that is another service’s, or none, is told as such', async () => {
  const other = createServer((_request, response) => response.writeHead(404).end())
  assert.match(
    await toldBy(other, 'http', '/v1'),
    /\/v1\/livez answered 404: is the address that of a Holdfast service\?/,
  )
  const plain = createServer((_request, response) => response.end())
  assert.match(await toldBy(plain, 'https'), /\(ERR_SSL_/)
})

test('a service that is there and cannot take connections is not said to be another', async () => {
  const away = createServer((_request, response) => response.writeHead(503).end())
  assert.doesNotMatch(await toldBy(away, 'http'), /answered/)
})
