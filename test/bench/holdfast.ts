/** Holdfast under measurement: the real server process on LMDB, reached through the library from this process. */
import { connect, type Holdfast } from '@holdfast/client'
import { temporaryFolder } from '../harness/process.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'

export type Bench = { server: Server; client: Holdfast; folder: string; close(): Promise<void> }

export async function holdfast(options: { ttlMs?: number; flags?: string[] } = {}): Promise<Bench> {
  const folder = temporaryFolder('bench')
  const server = await startServer({ data: folder.path, ...(options.flags && { flags: options.flags }) })
  const client = open(server.url, options.ttlMs)
  return {
    server,
    client,
    folder: folder.path,
    async close() {
      await client.close()
      await server.stop()
      folder.remove()
    },
  }
}

export function open(url: string | readonly string[], ttlMs = 30_000): Holdfast {
  return connect({ url, apiKey: rootKey, ttlMs })
}
