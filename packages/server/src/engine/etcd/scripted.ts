/** For tests: a member that answers what it is told to, over a real connection. What real members do only in rare moments. */
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js'
import type { Name, ReplyOf, RequestOf } from './calls.ts'
import { methods } from './messages.ts'
import { decode, encode, type Received } from './wire.ts'

type Script = {
  [Of in Name]?: (
    request: Received<(typeof methods)[Of]['request']>,
  ) => ToReply<Of> | Error | Promise<ToReply<Of> | Error>
}
type ToReply<Of extends Name> = Parameters<typeof encode<(typeof methods)[Of]['reply']>>[1]

export type { ReplyOf, RequestOf }

export async function startScripted(script: Script): Promise<{ url: string; close(): void }> {
  const server = new Server()
  for (const [name, { path, request, reply }] of Object.entries(methods)) {
    const act = script[name as Name] as ((asked: unknown) => unknown) | undefined // the script is indexed by the same names
    if (!act) continue
    server.register(
      path,
      async (call: ServerUnaryCall<unknown, object>, answer: sendUnaryData<object>) => {
        const result = await act(call.request)
        if (result instanceof Error) answer(result)
        else answer(null, result as object) // what is not an error is a reply
      },
      (value: object) => encode(reply, value),
      bytes => decode(request, bytes),
      'unary',
    )
  }
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  )
  return { url: `http://127.0.0.1:${port}`, close: () => server.forceShutdown() }
}

/** As etcd tells its errors. */
export function etcdError(code: number, details: string): Error {
  return Object.assign(new Error(details), { code, details })
}
