/**
 * Holdfast as its own identity provider, where programs that know IBM Cloud IAM look for one: API keys of ours are exchanged for tokens (ECOSYSTEM 1.4).
 * The answers have IBM's shape, with the field names of RFC 6749 beside them; a refusal is 400, as there.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { APIKEY_GRANT, OWN_SCOPE } from '../auth/own-tokens.ts'
import { presentedBy } from './caller.ts'
import type { Doors } from './doors.ts'
import { foundAt } from './forwarded.ts'
import type { App } from './listener.ts'
import { noteStranger } from './strangers.ts'

const SECOND_MS = 1_000
const FORM = 'application/x-www-form-urlencoded'

type Refusal = { errorCode: string; errorMessage: string; error: string }
const unknownKey: Refusal = {
  errorCode: 'BXNIM0415E',
  errorMessage: 'Provided API key could not be found.',
  error: 'invalid_grant',
}
const unknownGrant: Refusal = {
  errorCode: 'BXNIM0120E',
  errorMessage: 'Only the grant of API keys is known here.',
  error: 'unsupported_grant_type',
}

export function addIdentity(app: App, doors: Doors): void {
  // In a scope of its own: nowhere else is a form a body.
  void app.register(async scope => {
    scope.addContentTypeParser(FORM, { parseAs: 'buffer' }, (_request, body, done) => {
      done(null, new URLSearchParams(body.toString()))
    })
    scope.post('/identity/token', (request, reply) => exchange(doors, request, reply))
    scope.get('/identity/keys', async (_request, reply) => reply.send(doors.ownTokens.keySet()))
    scope.get('/identity/.well-known/openid-configuration', async (request, reply) =>
      reply.send(configuration(issuerOf(doors, request))),
    )
  })
}

async function exchange(doors: Doors, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  reply.header('cache-control', 'no-store')
  const { body } = request
  const form = body instanceof URLSearchParams ? body : new URLSearchParams()
  if (form.get('grant_type') !== APIKEY_GRANT) return refused(request, reply, unknownGrant)
  const presented = presentedBy(request.raw, doors)
  const apiKey = form.get('apikey') ?? ''
  const { address } = presented
  const token = await doors.ownTokens.exchange({ apiKey, address, issuer: issuerOf(doors, request) })
  if (token === null) {
    noteStranger(doors, { authorization: `Bearer ${apiKey}`, address, certificate: null }, request.ids.trace)
    return refused(request, reply, unknownKey)
  }
  const expiration = Math.floor(token.expiresAtMs / SECOND_MS)
  return reply.send({
    access_token: token.text,
    refresh_token: 'not_supported',
    token_type: 'Bearer',
    expires_in: Math.max(0, expiration - Math.floor(doors.clock.wallMs() / SECOND_MS)),
    expiration,
    scope: OWN_SCOPE,
  })
}

function refused(request: FastifyRequest, reply: FastifyReply, refusal: Refusal): FastifyReply {
  const context = { requestId: request.ids.trace }
  return reply.code(400).send({ ...refusal, error_description: refusal.errorMessage, context })
}

/** Discovery must name what was asked. */
function issuerOf(doors: Doors, request: FastifyRequest): string {
  return `${foundAt(request, doors)}/identity`
}

function configuration(issuer: string): object {
  return {
    issuer,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/keys`,
    grant_types_supported: [APIKEY_GRANT],
    response_types_supported: ['cloud_iam'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
    scopes_supported: ['openid'],
  }
}
