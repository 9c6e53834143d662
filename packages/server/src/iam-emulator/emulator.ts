/**
 * IBM Cloud IAM, as much of it as Holdfast meets: tokens for API keys, the keys they are signed with, policies and decisions (ECOSYSTEM 1.4, 1.5). For
 * development and tests: it listens on this machine only, forgets everything when it ends, and its example keys are known to everybody.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Type } from 'typebox'
import { Compile } from 'typebox/compile'
import type { Clock } from '../clock.ts'
import type { Random } from '../random.ts'
import type { Account, EmulatedIdentity } from './accounts.ts'
import { Administration } from './administration.ts'
import { type Answer, okay, Refusal } from './answer.ts'
import { isPermitted, type Question, questionSchema } from './policies.ts'
import { Signing, TOKEN_SECONDS } from './signing.ts'

/** A form with a token in it, or some hundred questions. */
const BODY_BYTES_MAX = 256 * 1024
const QUESTIONS_MAX = 1_000
const GRANT = 'urn:ibm:params:oauth:grant-type:'

export type EmulatorOptions = { account: Account; listen: { host: string; port: number }; clock: Clock; random: Random }

const checkQuestions = Compile(Type.Array(questionSchema, { minItems: 1, maxItems: QUESTIONS_MAX }))

/** @throws Error when told to listen beyond this machine. */
export async function startIamEmulator({ account, listen, clock, random }: EmulatorOptions): Promise<IamEmulator> {
  if (!/^(127\.[0-9.]+|::1|localhost)$/.test(listen.host))
    throw new Error(
      `The emulator listens on this machine only, like 127.0.0.1, not on ${listen.host}: whoever reaches it can be anybody.`,
    )
  const server = createServer()
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(listen.port, listen.host, resolve))
  // Listening on a host and port, the address is no text.
  const { port } = server.address() as AddressInfo
  const url = `http://${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${port}`
  const signing = new Signing({ issuer: `${url}/identity`, account, clock, random })
  await signing.rotate()
  return new IamEmulator({ server, url, account, signing, clock, random })
}

type Parts = { server: Server; url: string; account: Account; signing: Signing; clock: Clock; random: Random }

export class IamEmulator {
  readonly url: string
  /** What stands in `iss`. */
  readonly issuer: string
  readonly account: Account
  readonly signing: Signing
  readonly #server: Server
  readonly #clock: Clock
  readonly #administration: Administration
  /** How often the keys have been asked for: what tests of caching look at. */
  keySetRequests = 0

  constructor({ server, url, account, signing, clock, random }: Parts) {
    this.#server = server
    this.url = url
    this.issuer = `${url}/identity`
    this.account = account
    this.signing = signing
    this.#clock = clock
    this.#administration = new Administration({ account, random })
    server.on('request', (request, response) => void this.#serve(request, response))
  }

  identity(iamId: string): EmulatedIdentity {
    const found = this.account.identities.find(({ iam_id }) => iam_id === iamId)
    if (!found) throw new Error(`there is no ${iamId} in the emulator`)
    return found
  }

  close(): Promise<void> {
    return new Promise(resolve => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: Answer
    try {
      answer = await this.#answer(request)
    } catch (error) {
      answer =
        error instanceof Refusal ? error.answer : { status: 500, body: { errorMessage: 'a bug of the emulator' } }
    }
    const etag = answer.etag === undefined ? {} : { etag: answer.etag }
    response.writeHead(answer.status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...etag })
    response.end(answer.body === null ? '' : JSON.stringify(answer.body))
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const { pathname, searchParams } = new URL(request.url ?? '/', this.url)
    switch (`${request.method} ${pathname}`) {
      case 'GET /identity/.well-known/openid-configuration':
        return okay(this.#configuration())
      case 'GET /identity/keys':
        this.keySetRequests++
        return okay(await this.signing.keySet())
      case 'POST /identity/token':
        return this.#token(new URLSearchParams(await bodyOf(request)))
      // Not IBM's: so that a test, or a person, sees what a rotation does.
      case 'POST /identity/keys/rotate':
        return okay({ kid: await this.signing.rotate({ withdraw: searchParams.get('withdraw') === 'true' }) })
      case 'POST /v2/authz':
        return this.#decide(request)
      default:
        return this.#administer(request, pathname)
    }
  }

  #configuration(): object {
    return {
      issuer: this.issuer,
      token_endpoint: `${this.issuer}/token`,
      jwks_uri: `${this.issuer}/keys`,
      grant_types_supported: ['apikey', 'cr-token', 'assume', 'iam-authz'].map(name => GRANT + name),
      response_types_supported: ['cloud_iam'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256'],
      scopes_supported: ['openid'],
    }
  }

  async #token(form: URLSearchParams): Promise<Answer> {
    const grantType = form.get('grant_type') ?? ''
    const identity = await this.#granted(grantType, form)
    const accessToken = await this.signing.sign(identity, grantType)
    return okay({
      access_token: accessToken,
      refresh_token: 'not_supported',
      token_type: 'Bearer',
      expires_in: TOKEN_SECONDS,
      expiration: Math.floor(this.#clock.wallMs() / 1_000) + TOKEN_SECONDS,
      scope: 'ibm openid',
    })
  }

  async #granted(grantType: string, form: URLSearchParams): Promise<EmulatedIdentity> {
    const { identities } = this.account
    const given = (name: string) => form.get(name) || null
    let found: EmulatedIdentity | undefined
    switch (grantType) {
      case `${GRANT}apikey`:
        found = identities.find(({ apikey }) => apikey !== undefined && apikey === given('apikey'))
        if (!found) throw new Refusal(400, 'BXNIM0415E', 'Provided API key could not be found.')
        return found
      case `${GRANT}cr-token`:
        found = identities.find(
          ({ iam_id, name, cr_tokens }) =>
            [iam_id, name].includes(profileOf(form)) && cr_tokens?.includes(given('cr_token') ?? ''),
        )
        if (!found) throw new Refusal(400, 'BXNIM0439E', 'The compute resource token does not belong to that profile.')
        return found
      case `${GRANT}assume`:
        return this.#assumed(await this.#bearer(given('access_token')), profileOf(form))
      case `${GRANT}iam-authz`:
        await this.#bearer(given('access_token'))
        found = identities.find(({ iam_id }) => iam_id.startsWith('crn-') && iam_id === given('desired_iam_id'))
        if (!found) throw new Refusal(400, 'BXNIM0513E', 'There is no such CRN in the emulator.')
        return found
      default:
        throw new Refusal(400, 'BXNIM0120E', 'The emulator does not know this grant type.')
    }
  }

  /** The `iam_id` of a token from here. */
  async #bearer(token: string | null): Promise<string> {
    const iamId = await this.signing.verify(token ?? '')
    if (iamId !== null) return iamId
    throw new Refusal(401, 'BXNIM0408E', 'Provided token is invalid.')
  }

  /** Who may, says the profile. */
  #assumed(by: string, profile: string): EmulatedIdentity {
    const found = this.account.identities.find(
      ({ iam_id, name, assumed_by }) => [iam_id, name].includes(profile) && assumed_by?.includes(by),
    )
    if (found) return found
    throw new Refusal(400, 'BXNIM0439E', 'This identity may not assume that profile.')
  }

  async #decide(request: IncomingMessage): Promise<Answer> {
    await this.#admit(request)
    const questions = jsonOf(await bodyOf(request))
    if (!checkQuestions.Check(questions))
      throw new Refusal(400, 'invalid_body', `The body must be 1 to ${QUESTIONS_MAX} questions.`)
    const [policies, roles] = [this.#administration.policies(), this.#administration.roles()]
    const decisionOf = (question: Question) => isPermitted(policies, roles, question)
    const responses = questions.map(question => ({
      status: '200',
      authorizationDecision: { permitted: decisionOf(question) },
    }))
    return okay({ responses })
  }

  async #administer(request: IncomingMessage, path: string): Promise<Answer> {
    if (/^\/v2\/(policies|roles)(\/|$)/.test(path)) await this.#admit(request)
    const { method = '', headers } = request
    const body = async () => jsonOf(await bodyOf(request))
    const answer = await this.#administration.answer({ method, path, ifMatch: headers['if-match'], body })
    if (answer) return answer
    throw new Refusal(404, 'not_found', 'The emulator does not know this path.')
  }

  /** Whoever has a token from here. */
  async #admit(request: IncomingMessage): Promise<void> {
    const [, token = ''] = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '') ?? []
    if ((await this.signing.verify(token)) === null)
      throw new Refusal(401, 'invalid_token', 'A token of this emulator is needed: Authorization: Bearer …')
  }
}

function profileOf(form: URLSearchParams): string {
  return form.get('profile_id') || form.get('profile_name') || ''
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  // Without an encoding set, chunks are buffers.
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > BODY_BYTES_MAX) throw new Refusal(413, 'too_large', 'The body is too large.')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Refusal(400, 'invalid_body', 'The body must be JSON.')
  }
}
