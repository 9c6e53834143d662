/** What listens for HTTP, as those see it who add their paths to it, and what a request carries from its first check on. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { Caller } from './caller.ts'
import type { RequestIds } from './request-ids.ts'

declare module 'fastify' {
  interface FastifyRequest {
    ids: RequestIds
    caller: Caller | null
    beganMs: number
  }
  interface FastifyContextConfig {
    reachesGone?: boolean
  }
}

export type App = FastifyInstance<Server, IncomingMessage, ServerResponse>
export type Tls = {
  cert: Buffer
  key: Buffer
  minVersion: 'TLSv1.2'
  /** Of certificates that clients may show, with what makes the listener ask for them. */
  ca?: Buffer
  requestCert?: true
  rejectUnauthorized?: false
}
