/** One connection to one member. It never repeats a call, and it waits by our own clock: gRPC's deadlines follow the wall clock. */
import { isIP } from 'node:net'
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  connectivityState,
  Metadata,
} from '@grpc/grpc-js'
import type { Clock } from '../../clock.ts'
import { EtcdError, toEtcdError } from './errors.ts'
import { SLOW_MS } from './quicker.ts'
import { decode, encode, type Message, type Method, type Received, type ToSend } from './wire.ts'

/** etcd closes connections on which pings come faster than every 5 s, or without a call (`too_many_pings`). */
export const KEEPALIVE_MS = 10_000
/** A peer that does not answer a ping within this is gone. */
const KEEPALIVE_ANSWER_MS = 5_000
/** By default gRPC waits up to two minutes: after an outage a healthy server would be taken for dead. */
const RECONNECT_MS_MIN = 100
const RECONNECT_MS_MAX = 500
/** A page of a listing is as large as what lies in it; more than this is no page of ours. */
const REPLY_BYTES_MAX = 1024 * 1024 * 1024

export type Endpoint = { url: string; isSecure: boolean; target: string }

export type ChannelOptions = { endpoint: Endpoint; credentials: ChannelCredentials; clock: Clock; keepaliveMs: number }

export class Channel {
  readonly endpoint: Endpoint
  readonly #client: Client
  readonly #clock: Clock

  constructor({ endpoint, credentials, clock, keepaliveMs }: ChannelOptions) {
    this.endpoint = endpoint
    this.#clock = clock
    this.#client = new Client(endpoint.target, credentials, {
      'grpc.enable_retries': 0,
      // Else channels to one address share a connection, and watches would share it with commits.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.keepalive_time_ms': keepaliveMs,
      'grpc.keepalive_timeout_ms': KEEPALIVE_ANSWER_MS,
      'grpc.keepalive_permit_without_calls': 0,
      'grpc.initial_reconnect_backoff_ms': RECONNECT_MS_MIN,
      'grpc.max_reconnect_backoff_ms': RECONNECT_MS_MAX,
      'grpc.dns_min_time_between_resolutions_ms': RECONNECT_MS_MAX,
      'grpc.max_receive_message_length': REPLY_BYTES_MAX,
      'grpc.service_config_disable_resolution': 1,
      // A proxy of the environment is for the web, not for a store.
      'grpc.enable_http_proxy': 0,
      'grpc.enable_channelz': 0,
    })
  }

  get isReady(): boolean {
    return this.#client.getChannel().getConnectivityState(false) === connectivityState.READY
  }

  /** Begins to connect, if it is not connected. */
  connect(): void {
    this.#client.getChannel().getConnectivityState(true)
  }

  /**
   * `slow` is told when no answer has come for a while, with a way to wait no longer: what becomes of the call is unknown then.
   * @throws EtcdError
   */
  unary<Request extends Message, Reply extends Message>(
    method: Method<Request, Reply>,
    request: ToSend<Request>,
    { timeoutMs, token, slow }: { timeoutMs: number; token: string | null; slow?(leave: () => void): void },
  ): Promise<Received<Reply>> {
    return new Promise((resolve, reject) => {
      let given: EtcdError | null = null
      const giveUp = (error: EtcdError) => {
        given ??= error
        call.cancel()
      }
      const call = this.#client.makeUnaryRequest(
        method.path,
        (value: ToSend<Request>) => encode(method.request, value),
        (bytes: Buffer) => decode(method.reply, bytes),
        request,
        metadata(token),
        (error, reply) => {
          stopTimer()
          if (reply && !error) resolve(reply)
          else reject(given ?? toEtcdError(error, this.endpoint.url))
        },
      )
      const wait = (ms: number) => this.#clock.after(ms, () => giveUp(this.#late(timeoutMs)))
      const look = () => {
        stopTimer = wait(timeoutMs - SLOW_MS)
        slow?.(() => giveUp(this.#slow()))
      }
      let stopTimer = slow && timeoutMs > SLOW_MS ? this.#clock.after(SLOW_MS, look) : wait(timeoutMs)
    })
  }

  /** Both ways, until it is cancelled. */
  duplex<Request extends Message, Reply extends Message>(
    method: Method<Request, Reply>,
    token: string | null,
  ): ClientDuplexStream<ToSend<Request>, Received<Reply>> {
    return this.#client.makeBidiStreamRequest(
      method.path,
      (value: ToSend<Request>) => encode(method.request, value),
      (bytes: Buffer) => decode(method.reply, bytes),
      metadata(token),
    )
  }

  /** Many replies to one request. */
  download<Request extends Message, Reply extends Message>(
    method: Method<Request, Reply>,
    request: ToSend<Request>,
    token: string | null,
  ): ClientReadableStream<Received<Reply>> {
    return this.#client.makeServerStreamRequest(
      method.path,
      (value: ToSend<Request>) => encode(method.request, value),
      (bytes: Buffer) => decode(method.reply, bytes),
      request,
      metadata(token),
    )
  }

  /** Calls in flight come to their end; there are no new ones. */
  close(): void {
    this.#client.close()
  }

  #slow(): EtcdError {
    return new EtcdError('unknown', this.endpoint.url, 'no answer, where another member has one')
  }

  #late(timeoutMs: number): EtcdError {
    return new EtcdError('timed_out', this.endpoint.url, `no answer within ${Math.round(timeoutMs)} ms`)
  }
}

function metadata(token: string | null): Metadata {
  const headers = new Metadata()
  if (token !== null) headers.set('token', token)
  return headers
}

/** `https://host:port` → where to connect to. @throws when it is no URL of a member. */
export function endpointOf(text: string): Endpoint {
  const endpoint = endpointIn(text)
  if (!endpoint) throw new Error(`An etcd endpoint is a URL like https://10.0.0.1:2379, not ${text}`)
  return endpoint
}

/** null: it is something else, like the socket of its own machine that a member may advertise too. */
export function endpointIn(text: string): Endpoint | null {
  const url = URL.canParse(text) ? new URL(text) : null
  const isWeb = url?.protocol === 'http:' || url?.protocol === 'https:'
  if (!url || !isWeb || url.pathname !== '/' || url.search !== '' || url.username !== '' || url.hash !== '') return null
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
  return { url: url.origin, isSecure: url.protocol === 'https:', target: `dns:${url.hostname}:${port}` }
}

/** Whether what is said to this endpoint can be read on the way. */
export function isInTheClear(url: string): boolean {
  const { protocol, hostname } = new URL(url)
  const isLoopback = ['localhost', '[::1]'].includes(hostname) || (isIP(hostname) === 4 && hostname.startsWith('127.'))
  return protocol === 'http:' && !isLoopback
}
