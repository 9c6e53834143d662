/**
 * A proxy before one member of etcd that knows what commits and reads are: it reads gRPC over HTTP/2 in the clear, and for each transaction it asks
 * what is to become of it, for each read how old the answer is to be. All other calls go through untouched.
 *
 * A reply that is lost here is lost *after* the commit: etcd has answered. A commit that is repeated is the same bytes once more, later, when
 * nobody waits for it: what a member does with requests that lay in its socket, or a network that delivers twice.
 */
import {
  type ClientHttp2Session,
  connect,
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import { answeredAsOf, isDifferent, readAsOf, readKey } from './old-reads.ts'

/** `lose_reply`: it is committed, and no answer comes; `break_reply`: instead of the answer, an error. */
export type Fate =
  | 'pass'
  | 'lose_request'
  | 'lose_reply'
  | 'break_reply'
  | { delayMs: number }
  | { repeatAfterMs: number }

export const passes = () => 'pass' as const

/** The revision that a read is answered from, by its key, or where its listing begins; null: the present. */
export type Age = (key: string) => number | null

export const present = () => null

type Answer = { headers: IncomingHttpHeaders; body: Buffer; trailers: IncomingHttpHeaders | null }

const COMMIT = '/etcdserverpb.KV/Txn'
const READ = '/etcdserverpb.KV/Range'
/** Of gRPC. */
const OK = '0'

export class CommitProxy {
  /** Of a transaction, by its bytes. */
  fate: (body: Buffer) => Fate = passes
  age: Age = present
  readonly counts: Record<string, number> = {}
  readonly #server: Http2Server
  readonly #target: string
  readonly #sessions = new Set<ServerHttp2Session>()
  #isClosed = false

  constructor(server: Http2Server, targetPort: number) {
    this.#server = server
    this.#target = `http://127.0.0.1:${targetPort}`
    server.on('session', session => this.#accept(session))
    // A stream or a session that breaks is ended where it is used.
    server.on('sessionError', () => undefined)
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}` // it listens on a host and port
  }

  heal(): void {
    this.fate = passes
    this.age = present
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const session of this.#sessions) session.destroy()
    await new Promise<void>(resolve => this.#server.close(() => resolve()))
  }

  #accept(near: ServerHttp2Session): void {
    this.#sessions.add(near)
    const far = connect(this.#target)
    far.on('error', () => near.destroy())
    far.on('close', () => near.destroy())
    near.on('error', () => far.destroy())
    near.on('close', () => {
      this.#sessions.delete(near)
      far.destroy()
    })
    near.on('stream', (stream, headers) => {
      stream.on('error', () => undefined) // it was cancelled, or its session has ended
      if (headers[':path'] === COMMIT) void this.#commit(stream, headers, far)
      else if (headers[':path'] === READ && this.age !== present) void this.#read(stream, headers, far)
      else carry(stream, headers, far)
    })
  }

  async #commit(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, far: ClientHttp2Session): Promise<void> {
    const body = await bytesOf(stream)
    const fate = this.fate(body)
    this.#count(typeof fate === 'string' ? fate : 'delayMs' in fate ? 'delayed' : 'repeated')
    if (fate === 'lose_request') return
    if (typeof fate === 'object' && 'delayMs' in fate) await new Promise(resolve => setTimeout(resolve, fate.delayMs))
    const answer = await ask(far, headers, body)
    if (typeof fate === 'object' && 'repeatAfterMs' in fate) this.#repeat(headers, body, fate.repeatAfterMs)
    if (fate === 'lose_reply') return
    if (!answer || fate === 'break_reply') return stream.close(constants.NGHTTP2_INTERNAL_ERROR)
    if (stream.destroyed) return
    reply(stream, answer)
  }

  /** Counted as `old` only where the present has something else to tell. */
  async #read(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, far: ClientHttp2Session): Promise<void> {
    const body = await bytesOf(stream)
    const key = readKey(body)
    const revision = key === null ? null : this.age(key)
    const answer = await ask(far, headers, body)
    const old = revision === null ? null : await ask(far, headers, readAsOf(body, revision))
    if (!answer) return stream.close(constants.NGHTTP2_INTERNAL_ERROR)
    if (stream.destroyed) return
    // What was compacted nobody remembers.
    if (revision === null || !old || !isAnswered(old) || !isAnswered(answer)) return reply(stream, answer)
    if (isDifferent(answer.body, old.body)) this.#count(`old ${kindOf(key)}`)
    reply(stream, { ...old, body: answeredAsOf(old.body, revision) })
  }

  /** On a connection of its own: the one it came on may be gone. */
  #repeat(headers: IncomingHttpHeaders, body: Buffer, afterMs: number): void {
    setTimeout(() => {
      if (this.#isClosed) return
      const far = connect(this.#target)
      far.on('error', () => undefined) // the member is down: nothing is repeated
      void ask(far, headers, body).then(answer => {
        this.#count(answer ? 'repeats answered' : 'repeats lost')
        far.destroy()
      })
    }, afterMs)
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }
}

/** Before the client port of a member. */
export async function startCommitProxy(targetPort: number): Promise<CommitProxy> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return new CommitProxy(server, targetPort)
}

/** As it comes, both ways. */
function carry(near: ServerHttp2Stream, headers: IncomingHttpHeaders, far: ClientHttp2Session): void {
  if (far.closed || far.destroyed) return near.close(constants.NGHTTP2_REFUSED_STREAM)
  const request = far.request(forward(headers))
  let trailers: IncomingHttpHeaders = {}
  request.on('response', (answered, flags) => {
    if (near.destroyed) return
    const isAll = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0
    near.respond(answered, isAll ? { endStream: true } : { waitForTrailers: true })
    if (!isAll) request.pipe(near)
  })
  request.on('trailers', received => {
    trailers = received
  })
  near.on('wantTrailers', () => near.sendTrailers(trailers))
  request.on('error', () => near.close(constants.NGHTTP2_INTERNAL_ERROR))
  near.on('close', () => request.close(constants.NGHTTP2_CANCEL))
  near.pipe(request)
}

async function bytesOf(stream: ServerHttp2Stream): Promise<Buffer> {
  const chunks: Buffer[] = []
  return new Promise(resolve => {
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => resolve(Buffer.concat(chunks)))
    stream.on('close', () => resolve(Buffer.concat(chunks)))
  })
}

/** null: it came to nothing that could be understood. */
function ask(far: ClientHttp2Session, headers: IncomingHttpHeaders, body: Buffer): Promise<Answer | null> {
  if (far.closed || far.destroyed) return Promise.resolve(null)
  return new Promise(resolve => {
    const request = far.request(forward(headers))
    const chunks: Buffer[] = []
    let answered: IncomingHttpHeaders = {}
    let trailers: IncomingHttpHeaders | null = null
    request.on('response', received => {
      answered = received
    })
    request.on('trailers', received => {
      trailers = received
    })
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('error', () => resolve(null))
    request.on('close', () => resolve(null))
    request.on('end', () => resolve({ headers: answered, body: Buffer.concat(chunks), trailers }))
    request.end(body)
  })
}

function isAnswered({ headers, trailers }: Answer): boolean {
  return (trailers?.['grpc-status'] ?? headers['grpc-status'] ?? OK) === OK
}

function kindOf(key: string | null): 'logs' | 'records' {
  return key !== null && /\/shards\/\d+\/log\//.test(key) ? 'logs' : 'records'
}

function reply(stream: ServerHttp2Stream, { headers, body, trailers }: Answer): void {
  if (!trailers) {
    stream.respond(headers)
    return void stream.end(body)
  }
  stream.respond(headers, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers(trailers))
  stream.end(body)
}

/** What is about the connection stays on it. */
function forward(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const { connection: _connection, host: _host, ...rest } = headers
  return rest
}
